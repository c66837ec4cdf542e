"""Promises of `sparkdl.spark.private` that need a JVM: it has each class and method, or the test names it."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from sparkdl.spark.private import JVM_CLASSES, gateway, hadoop_configuration, has_class, jvm, new_array, observed


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


def test_hadoop_is_configured(spark: SparkSession) -> None:
    assert hadoop_configuration(spark.sparkContext).get("fs.defaultFS")


def test_what_a_frame_observed_can_be_read(spark: SparkSession) -> None:
    frame = spark.range(5).observe("seen", F.count(F.lit(1)).alias("rows")).persist()
    try:
        assert frame.count() == 5
        row = observed(frame, "seen")
        assert row is not None
        assert row.getLong(0) == 5
        assert observed(frame, "something else") is None
    finally:
        frame.unpersist()
