"""Promise of the package: the notebook of 2019, written for Deep Learning Pipelines, runs with one line added."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from needs import need
from notebook_2019 import CELLS, run_cells
from pyspark.sql import SparkSession

from training.data.loading import Dataset

mpl.use("Agg")
SCHEMA = """\
root
 |-- image: struct (nullable = true)
 |    |-- origin: string (nullable = true)
 |    |-- height: integer (nullable = true)
 |    |-- width: integer (nullable = true)
 |    |-- nChannels: integer (nullable = true)
 |    |-- mode: integer (nullable = true)
 |    |-- data: binary (nullable = true)
 |-- label: integer (nullable = false)"""


def check(outputs: list[str], namespace: Mapping[str, Any], images: int, *, at_least: float) -> None:
    """Hold every output of the notebook against the rows that it comes from."""
    (imports, session, size, schema, fitted, metrics, matrix, report, auc, columns, rows) = outputs
    assert (imports, session, fitted) == ("", "", "")
    assert int(size) == 2 * images
    assert re.sub(r"nullable = \w+", "", schema) == re.sub(r"nullable = \w+", "", SCHEMA)
    found = namespace["transform_test"].select("label", "prediction").collect()
    right = sum(row.label == row.prediction for row in found)
    assert metrics.splitlines()[3] == f"accuracy {round(right / len(found), 4)}"
    assert [line.split()[0] for line in metrics.splitlines()] == [
        "f1",
        "weightedPrecision",
        "weightedRecall",
        "accuracy",
    ]
    assert right / len(found) >= at_least
    cells = [int(number) for number in re.findall(r"\d+", matrix)]
    assert (len(cells), sum(cells), sum(cells[::11])) == (100, len(found), right)
    assert [f"Class {digit}" in report for digit in range(10)] == [True] * 10
    assert 0.5 < float(auc) <= 1
    assert columns == "['image', 'label', 'features', 'rawPrediction', 'probability', 'prediction']"
    assert "only showing top 5 rows" in rows


def test_one_line_of_the_notebook_is_new() -> None:
    assert sum("sparkdl.legacy" in cell for cell in CELLS) == 1


@pytest.mark.slow  # features of 131,072 numbers, and a regression on them, take minutes
def test_the_notebook_runs_on_numtadb_with_inception_v3(
    spark: SparkSession,
    numtadb_home: Path,
    inception_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    need(find_spec("tensorflow"), "InceptionV3 is exported with TensorFlow, the optional extra `keras`")
    monkeypatch.setenv("SPARKDL_WEIGHTS_DIR", str(inception_weights.parent))
    for digit in range(10):
        folder = tmp_path / str(digit)
        folder.mkdir()
        for image in sorted((numtadb_home / "numta500" / str(digit)).iterdir())[:15]:
            (folder / image.name).symlink_to(image)

    outputs, namespace = run_cells({"folder": str(tmp_path), "network": "InceptionV3", "partitions": 4})

    check(outputs, namespace, 150, at_least=0.4)


@pytest.mark.slow  # features of 62,720 numbers, and a regression on them, take most of a minute
def test_the_notebook_runs_on_drawn_digits_without_any_download(
    spark: SparkSession, drawn: Dataset, tmp_path: Path
) -> None:
    for image in drawn:
        path = tmp_path / image.name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(image.read())

    outputs, namespace = run_cells({"folder": str(tmp_path), "network": "EfficientNetLite0", "partitions": 4})

    check(outputs, namespace, 400, at_least=0.3)  # a guess has 0.1
