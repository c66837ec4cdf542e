"""A Spark stream with default settings and Spark's own sink.

python plain_stream.py HOST:PORT FROM TO CHECKPOINT [--model DIR]

With a model, `mapInArrow` predicts the images with the function of the other contenders; without a model, each image
gets an empty prediction. Runs until it is killed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession

_RESULT = "key binary, value binary, topic string"


def main() -> None:
    from sparkdl.spark.jars import session_jars
    from streaming.spark_conf import KAFKA

    parser = argparse.ArgumentParser()
    parser.add_argument("broker")
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("checkpoint")
    parser.add_argument("--model")
    chosen = parser.parse_args()
    os.environ["PYSPARK_PYTHON"] = sys.executable
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
    results = _with_model(spark, records, chosen.model, chosen.target) if chosen.model else _without(records, chosen)
    (
        results.writeStream.format("kafka")
        .option("kafka.bootstrap.servers", chosen.broker)
        .option("checkpointLocation", chosen.checkpoint)
        .start()
        .awaitTermination()
    )


def _without(records: DataFrame, chosen: argparse.Namespace) -> DataFrame:
    from pyspark.sql import functions as F

    return records.select("key", F.lit("{}").alias("value"), F.lit(chosen.target).alias("topic"))


def _with_model(spark: SparkSession, records: DataFrame, model: str, target: str) -> DataFrame:
    for name in ("hand_written.py", "answering.py"):
        spark.sparkContext.addPyFile(str(Path(__file__).parent / name))
    return records.select("key", "value").mapInArrow(_answers(model, target), _RESULT)


def _answers(model: str, target: str) -> Callable[[Iterable[Any]], Iterator[Any]]:
    def answers(batches: Iterable[Any]) -> Iterator[Any]:
        import pyarrow as pa
        from answering import DEAD_LETTERS, answering

        answer = answering(model, 1)
        for batch in batches:
            payloads = batch.column("value").to_pylist()
            found = answer(payloads)
            values = [p if "reason" in a else json.dumps(a).encode() for p, a in zip(payloads, found, strict=True)]
            topics = [target + DEAD_LETTERS if "reason" in a else target for a in found]
            columns = [batch.column("key"), pa.array(values, pa.binary()), pa.array(topics, pa.string())]
            yield pa.RecordBatch.from_arrays(columns, ["key", "value", "topic"])

    return answers


if __name__ == "__main__":
    main()
