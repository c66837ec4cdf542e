"""Promises of `sparkdl.spark.worker_daemon`: workers of a local session have what they need from the process before."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from sparkdl.spark.worker_daemon import LIGHT
from sparkdl.spark.worker_python import worker_daemon


def imported(spark: SparkSession) -> tuple[str, int, bool]:
    """The command of a worker's parent, the objects that its collector passes over, and whether it has the function."""

    def look(rows: Iterator[object]) -> Iterator[tuple[str, int, bool]]:
        yield (
            Path(f"/proc/{os.getppid()}/cmdline").read_bytes().replace(b"\0", b" ").decode(),
            gc.get_freeze_count(),
            "sparkdl.inference.fused_worker" in sys.modules,
        )

    [found] = spark.sparkContext.parallelize([0], 1).mapPartitions(look).collect()
    return found


def test_workers_share_what_they_import(spark: SparkSession) -> None:
    parent, frozen, has_function = imported(spark)
    assert "sparkdl.spark.worker_daemon pyspark.worker" in parent
    assert frozen > 10_000
    assert has_function


def test_workers_that_classify_nothing_import_nothing_for_it(spark: SparkSession) -> None:
    environment = spark.sparkContext.environment
    environment[LIGHT] = "1"
    try:
        parent, _, has_function = imported(spark)
    finally:
        del environment[LIGHT]
    assert "sparkdl.spark.worker_daemon pyspark.worker" in parent
    assert not has_function


@pytest.mark.parametrize(("master", "ours"), [("local[2]", True), ("local-cluster[1,1,512]", False), ("yarn", False)])
def test_only_workers_of_this_machine_are_forked_from_it(master: str, ours: bool) -> None:
    assert bool(worker_daemon(master)) is ours
