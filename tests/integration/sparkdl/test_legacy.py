"""Promises of `sparkdl.legacy`: the names of 2019 are there again, and those that are gone say what to use."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
from images import noise
from PIL import Image
from pyspark.ml.image import ImageSchema
from pyspark.sql import SparkSession

import sparkdl
import sparkdl.legacy
from sparkdl.errors import RequestError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "below").mkdir()
    for name in ("a.png", "b.png", "below/c.png"):
        Image.fromarray(noise(len(name), 4, 5, 3)).save(tmp_path / name)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return tmp_path


def names(rows: list[Any]) -> list[str]:
    return sorted(Path(row.image.origin).name for row in rows)


def test_images_are_read_as_spark_2_did(spark: SparkSession, folder: Path) -> None:
    images = ImageSchema.readImages(str(folder))  # type: ignore[attr-defined]
    assert images.columns == ["image"]
    rows = images.collect()
    assert names(rows) == ["a.png", "b.png", "broken.png"]
    assert {Path(row.image.origin).name: row.image.mode for row in rows} == {"a.png": 16, "b.png": 16, "broken.png": -1}


def test_failures_are_dropped_folders_below_are_read_and_a_sample_is_taken_if_asked_for(
    spark: SparkSession, folder: Path
) -> None:
    read = ImageSchema.readImages  # type: ignore[attr-defined]
    assert names(read(str(folder), True, 2, True).collect()) == ["a.png", "b.png", "c.png"]
    assert read(str(folder), numPartitions=3).rdd.getNumPartitions() == 3
    assert read(f"{folder}/a.png,{folder}/below", dropImageFailures=True).count() == 2
    assert read(str(folder), sampleRatio=0.0).count() == 0
    with pytest.raises(RequestError, match="expected sampleRatio from 0 to 1, received 2"):
        read(str(folder), sampleRatio=2)


def test_the_modules_of_the_original_have_their_old_names() -> None:
    assert importlib.import_module("sparkdl.image.imageIO") is sparkdl.imageIO
    udfs = importlib.import_module("sparkdl.udf.keras_image_model")
    assert udfs.registerKerasImageUDF is sparkdl.registerKerasImageUDF


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("TFImageTransformer", "OnnxImageTransformer"),
        ("TFTransformer", "OnnxTransformer"),
        ("TFInputGraph", "ONNX file"),
        ("imageInputPlaceholder", "ONNX file"),
        ("HorovodRunner", "KerasImageFileEstimator"),
    ],
)
def test_a_name_that_is_gone_says_what_to_use(name: str, words: str) -> None:
    with pytest.raises(ImportError, match=rf"sparkdl\.{name} of version 1\.5 is gone: .*{words}"):
        exec(f"from sparkdl import {name}")
