"""Promises of `sparkdl.spark.private` that need a JVM: it has each class and method, or the test names it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from streams import wait_until

from sparkdl.spark.private import (
    JVM_CLASSES,
    gateway,
    hadoop_configuration,
    has_class,
    jvm,
    last_batch,
    new_array,
    progress_after,
    task_slots,
)


@pytest.mark.parametrize("name", JVM_CLASSES)
def test_the_jvm_has_each_class(spark: SparkSession, name: str) -> None:
    assert has_class(spark.sparkContext, name), f"Spark {spark.version} has no class {name}"


def test_a_class_that_is_gone_is_not_there(spark: SparkSession) -> None:
    assert not has_class(spark.sparkContext, "org.apache.hadoop.fs.Gone")
    assert not has_class(spark.sparkContext, "org.apache.gone.Path")


def test_calls_from_java_can_be_authenticated(spark: SparkSession) -> None:
    started = gateway()
    for part in ("gateway_parameters.auth_token", "callback_server_parameters.auth_token", "_gateway_client", "proc"):
        found = started
        for attribute in part.split("."):
            assert hasattr(found, attribute), f"py4j's gateway has no {part}"
            found = getattr(found, attribute)
    fields = {
        field.getName() for field in jvm(spark.sparkContext).java.lang.Class.forName("py4j.Gateway").getDeclaredFields()
    }
    assert "cbClient" in fields, "py4j.Gateway has no field cbClient"


def test_a_java_array_holds_its_values(spark: SparkSession) -> None:
    array = new_array(jvm(spark.sparkContext).java.lang.String, ["a", "b"])
    assert list(array) == ["a", "b"]


def test_slots_are_those_of_the_master(spark: SparkSession) -> None:
    assert spark.sparkContext.master == "local[2]"
    assert task_slots(spark.sparkContext) == 2


def test_hadoop_is_configured(spark: SparkSession) -> None:
    assert hadoop_configuration(spark.sparkContext).get("fs.defaultFS")


def test_each_finished_micro_batch_is_reported_once(spark: SparkSession, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    lines = spark.readStream.option("maxFilesPerTrigger", 1).text(str(source)).observe("seen", F.count("*").alias("n"))
    for number in range(3):
        (source / str(number)).write_text("line\n" * (number + 1))
    writer = lines.writeStream.format("noop").option("checkpointLocation", str(tmp_path / "checkpoint"))
    query = writer.trigger(processingTime="100 milliseconds").start()
    try:
        query.processAllAvailable()
        wait_until(lambda: not query.lastProgress["durationMs"].get("addBatch"))  # a trigger that found nothing
        assert query.lastProgress["batchId"] == 3
        assert last_batch(query) == 2
        (source / "3").write_text("line\n")
        wait_until(lambda: last_batch(query) == 3)
    finally:
        query.stop()
    reports = progress_after(query, -1)
    assert [report["batchId"] for report in reports] == [0, 1, 2, 3]
    assert sorted(report["observedMetrics"]["seen"]["n"] for report in reports) == [1, 1, 2, 3]
    assert [report["batchId"] for report in progress_after(query, 1)] == [2, 3]
    assert progress_after(query, 3) == []
