"""A Spark stream from topic to topic without a model: `python plain_stream.py HOST:PORT FROM TO CHECKPOINT [--ours]`.

With Spark's default settings and sink; with `--ours`, with the settings and the sink of `sparkdl stream`, each image
predicted as nothing in particular. Runs until it is killed.
"""

from __future__ import annotations

import argparse


def with_defaults(chosen: argparse.Namespace) -> None:
    from pyspark.sql import SparkSession

    from sparkdl.spark.jars import session_jars
    from streaming.spark_conf import KAFKA

    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    jars = session_jars([KAFKA.lock])
    spark = builder.config("spark.jars", ",".join(path.as_uri() for path in jars)).getOrCreate()
    records = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", chosen.broker)
        .option("subscribe", chosen.source)
        .option("startingOffsets", "earliest")
        .load()
    )
    (
        records.selectExpr("key", "'{}' as value")
        .writeStream.format("kafka")
        .option("kafka.bootstrap.servers", chosen.broker)
        .option("topic", chosen.target)
        .option("checkpointLocation", chosen.checkpoint)
        .start()
        .awaitTermination()
    )


def with_ours(chosen: argparse.Namespace) -> None:
    from pathlib import Path

    from pyspark.sql import functions as F

    from sparkdl.spark.session import spark_session
    from streaming.sinks.base import DirectSink
    from streaming.sinks.factory import parse_sink
    from streaming.sources.factory import parse_source
    from streaming.spark_conf import KAFKA, stream_conf

    source = parse_source(f"kafka://{chosen.broker}/{chosen.source}")
    target = parse_sink(f"kafka://{chosen.broker}/{chosen.target}")
    spark = spark_session("plain", stream_conf([KAFKA]), [KAFKA.lock])
    rows = source.open(spark, Path(chosen.checkpoint), 1024).select(
        "id",
        "origin",
        F.lit("?").alias("prediction"),
        F.lit(1.0).alias("confidence"),
        F.map_from_arrays(F.array(F.lit("?")), F.array(F.lit(1.0))).alias("probabilities"),
        "label",
        F.lit(False).alias("needs_review"),
        F.lit("none").alias("model"),
        "produced_at",
        F.current_timestamp().alias("predicted_at"),
        F.current_timestamp().alias("failed_at"),
        F.lit(None).cast("string").alias("reason"),
        F.lit(None).cast("string").alias("detail"),
        F.lit(None).cast("binary").alias("payload"),
        "size",
        F.lit(None).cast("string").alias("sha256"),
        F.lit(0).cast("long").alias("batch_id"),
    )
    assert isinstance(target, DirectSink)
    target.open(spark, "plain")
    (
        target.writer(rows)
        .option("checkpointLocation", chosen.checkpoint)
        .trigger(processingTime="0 seconds")
        .start()
        .awaitTermination()
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("broker")
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("checkpoint")
    parser.add_argument("--ours", action="store_true")
    chosen = parser.parse_args()
    (with_ours if chosen.ours else with_defaults)(chosen)


if __name__ == "__main__":
    main()
