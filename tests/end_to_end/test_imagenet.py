"""The command classifies photographs with the network that is installed: no training, no download."""

from __future__ import annotations

import json
from pathlib import Path

from command import run_command
from photographs import daisy
from pyspark.sql import SparkSession


def test_a_photograph_is_classified_without_a_model_of_ones_own(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "flower.png").write_bytes(daisy())
    (tmp_path / "broken.png").write_bytes(b"no image")

    finished = run_command("predict", tmp_path, "--model", "imagenet", "--format", "json")

    assert finished.code == 0, finished.err
    broken, flower = map(json.loads, finished.out.splitlines())
    assert (broken["prediction"], broken["reason"]) == (None, "unsupported_format")
    assert flower["prediction"] == "daisy"
    probabilities = list(flower["probabilities"].values())
    assert next(iter(flower["probabilities"])) == "daisy"
    assert len(probabilities) == 10
    assert probabilities == sorted(probabilities, reverse=True)
