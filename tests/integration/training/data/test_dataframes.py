"""Labelled images as rows: the workers read files of any name."""

from __future__ import annotations

import os
from pathlib import Path

from command import run_command
from pyspark.sql import SparkSession

from sparkdl.models.registry import ModelVersion
from training.data.dataframes import encoded_rows
from training.data.loading import open_dataset
from training.data.synthetic.digits import draw_png


def test_files_whose_names_are_not_utf_8_are_read(spark: SparkSession, tmp_path: Path, model: ModelVersion) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9/100% \xff.png"))
    path.parent.mkdir()
    path.write_bytes(draw_png(3, 0))
    (row,) = encoded_rows(spark, open_dataset(str(tmp_path))).collect()
    assert (bytes(row.payload), row.label) == (path.read_bytes(), "caf\\xe9")
    answer = run_command("predict", tmp_path, "--model", model.path, "--format", "json")
    assert (answer.code, answer.out.count("\n")) == (0, 1), answer.err
