"""A classifier from a file, from the command line to the rows of a stream."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from command import run_command
from foreign_networks import LABELS, VIT, classifier, write_folder, write_labels
from PIL import Image
from pyspark.sql import SparkSession
from streams import rows_of

from sparkdl.models.registry import Registry


@pytest.fixture
def incoming(tmp_path: Path) -> Path:
    """Twelve pictures, and a file that is none."""
    directory = tmp_path / "incoming"
    directory.mkdir()
    random = np.random.default_rng(1)
    for number in range(12):
        Image.fromarray(random.integers(0, 256, (40, 40 + number, 3), np.uint8)).save(directory / f"{number:02}.png")
    (directory / "notes.png").write_text("no picture")
    return directory


def stream(tmp_path: Path, incoming: Path, *options: str) -> Path:
    sink = tmp_path / "out"
    finished = run_command(
        *("stream", "--source", incoming, "--model", tmp_path / "models", "--sink", sink),
        *("--checkpoint", tmp_path / "progress", "--available-now", *options),
    )
    assert finished.code == 0, finished.err
    return sink


def test_an_onnx_file_is_imported_and_streamed(spark: SparkSession, incoming: Path, tmp_path: Path) -> None:
    onnx.save(classifier(), tmp_path / "animals.onnx")
    labels = write_labels(tmp_path / "labels.txt")
    imported = run_command(
        *("models", "import", tmp_path / "animals.onnx", "--labels", labels, "--normalize", "imagenet"),
        *("--models", tmp_path / "models"),
    )
    assert imported.code == 0, imported.err
    assert "5 classes, 32 x 32 px; saved and promoted as" in imported.err
    rows = rows_of(stream(tmp_path, incoming, "--top-k", "3"), "predictions")
    assert len(rows) == 12
    assert {row["prediction"] for row in rows} <= set(LABELS)
    assert {len(row["probabilities"]) for row in rows} == {3}
    assert {row["labels"] for row in rows} == {None}
    assert len(rows_of(tmp_path / "out", "dead_letters")) == 1
    listed = run_command("models", "list", "--models", tmp_path / "models", "--format", "json")
    assert '"recipe": "imported", "accuracy": null' in listed.out
    assert run_command("models", "verify", "--models", tmp_path / "models").code == 0


@pytest.mark.slow  # a second stream; its rows are tested without one
def test_a_folder_of_several_labels_is_imported_and_streamed(
    spark: SparkSession, incoming: Path, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path / "vit", classifier(gain=3), {"problem_type": "multi_label_classification"})
    imported = run_command("models", "import", folder, "--models", tmp_path / "models", "--label-threshold", "0.3")
    assert imported.code == 0, imported.err
    rows = rows_of(stream(tmp_path, incoming), "predictions")
    for row in rows:
        shares = dict(row["probabilities"])
        assert row["labels"] == [label for label in LABELS if shares[label] >= 0.3]
    assert len({tuple(row["labels"]) for row in rows} | {()}) > 1


def test_int8_is_quantized_on_images(spark: SparkSession, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "vit", classifier(), processor=VIT)
    imported = run_command(
        *("models", "import", folder, "--models", tmp_path / "models", "--precision", "int8", "--data", "samples:2"),
        *("--name", "small", "--no-promote", "--batch-size", "4"),
    )
    assert imported.code == 0, imported.err
    (version,) = Registry(tmp_path / "models").versions()
    assert Registry(tmp_path / "models").current() is None
    assert version.name.endswith("-small")
    assert version.description["imported"]["precision"] == "int8"
    assert version.description["imported"]["batch_size"] == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nothing.onnx",), "no such file: nothing.onnx"),
        (("nothing.xyz",), "does not exist: expected FILE.onnx"),
        (("hf:nothing",), "expected hf:OWNER/NAME"),
        (("x.onnx", "--normalize", "imagnet"), "did you mean imagenet"),
        (("x.onnx", "--normalize", "unit", "--mean", "1"), "--mean too"),
        (("x.onnx", "--mean", "a,b"), "--mean: expected numbers"),
        (("x.onnx", "--input-size", "0"), "--input-size: expected pixels"),
        (("x.onnx", "--resize", "3x"), "--resize: expected pixels"),
        (("x.onnx", "--resample", "bicubik"), "did you mean bicubic"),
        (("x.onnx", "--precision", "int8"), "--precision int8 and --data go together"),
        (("x.onnx", "--label-threshold", "2"), "label threshold above 0"),
        (("x.onnx", "--batch-size", "0"), "batch size of 1 to 1024"),
        (("x.onnx", "--labels", "nowhere"), "nowhere cannot be read"),
        (("x.onnx", "--name", "../x"), "--name: expected letters"),
    ],
)
def test_a_wrong_import_is_answered_in_one_line(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    finished = run_command("models", "import", *arguments, "--models", tmp_path / "models")
    assert (finished.code, finished.err.count("\n")) == (2, 1), finished.err
    assert said in finished.err
    assert not (tmp_path / "models").exists()
