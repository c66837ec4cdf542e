"""Delta Lake from Spark's side: the jars and settings that a session has to be started with."""

from __future__ import annotations

from py4j.java_gateway import JavaClass
from pyspark.sql import SparkSession

from sparkdl.errors import RequestError

PACKAGE = "io.delta:delta-spark_4.2_2.13:4.4.0"

CONF: dict[str, str] = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    # The state of a table is put together in so many partitions; the default, 50, suits tables of millions of files.
    "spark.databricks.delta.snapshotPartitions": "2",
}


def is_delta(address: str) -> bool:
    """Whether `address` is meant as one of Delta tables."""
    return address.startswith("delta:")


def check_session(spark: SparkSession) -> None:
    """Asks whether a session can write Delta tables.

    Raises
    ------
    RequestError
        If it cannot, saying with what it has to be started.
    """
    jvm = spark.sparkContext._jvm
    assert jvm is not None  # a session of this process, not of Spark Connect
    if not isinstance(jvm.io.delta.sql.DeltaSparkSessionExtension, JavaClass):
        raise RequestError(f"Spark was started without the jars of Delta Lake: start it with --packages {PACKAGE}")
    for key in ("spark.sql.extensions", "spark.sql.catalog.spark_catalog"):
        if CONF[key] not in (spark.conf.get(key, "") or ""):
            raise RequestError(f"Spark was started without Delta Lake: start it with --conf {key}={CONF[key]}")
