"""The quick part of `benchmarks/faults/hostile.py`: each hostile image ends as a prediction or a dead letter."""

from __future__ import annotations

from bombs import QUICK, attacks
from fuzzing import mutations
from hostile import run
from pyspark.sql import SparkSession

from sparkdl.images.rejection import Limits
from sparkdl.models.registry import ModelVersion


def test_each_hostile_image_ends_as_what_its_attack_allows_and_harms_no_worker(
    spark: SparkSession, model: ModelVersion
) -> None:
    sent = [*attacks(QUICK), *mutations(seed=7, count=150)]
    assert len(sent) > 300
    assert run(spark, model, sent, Limits())[1] == []
