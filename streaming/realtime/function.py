"""The column function that calls the scorers: compiled from `RealtimeScorer.java` and registered in a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, StringType, StructField, StructType

from sparkdl.formats.envelopes import ATTRIBUTES, Attributes
from sparkdl.inference.fused_worker import RESULT_TYPE
from sparkdl.spark.java_source import jar_of, register_java_function

CLASS = "RealtimeScorer"
_SOURCE = Path(__file__).with_name(f"{CLASS}.java")
_NAME = "sparkdl_realtime_scorer"

ANSWER = StructType(
    [
        *RESULT_TYPE,
        StructField("model", StringType()),
        StructField("review_below", DoubleType()),
    ]
)
"""The type that the function returns: the columns of a fused pipeline, the model version that computed them, and its
review threshold. Version and threshold are null if no scorer survived the image."""


def register_scorer(spark: SparkSession, command: Sequence[str], environment: Mapping[str, str], model: str) -> None:
    """Compile the function and register it in a session; replace one that is already registered.

    Parameters
    ----------
    command
        The command that starts the scorers; the path of the model is appended.
    environment
        The environment variables of the scorers.
    model
        An absolute path on this machine, or the name of a file that was added to the Spark context.
    """
    variables = [text for variable in environment.items() for text in variable]
    register_java_function(
        spark, _NAME, jar_of(spark.sparkContext, _SOURCE), CLASS, [command, variables, model], ANSWER
    )


def score(*, with_attributes: bool) -> Column:
    """Return a column of type `ANSWER` for the column `payload`; `with_attributes` passes its envelope attributes."""
    said = [
        F.col(f"{ATTRIBUTES}.{name}") if with_attributes else F.lit(None).cast("string") for name in Attributes._fields
    ]
    return F.call_function(_NAME, F.col("payload"), *said)


def start_scorers(spark: SparkSession) -> None:
    """Start the scorers of this machine before the first message; after a failure the first message starts them."""
    nothing = F.lit(None).cast("binary").alias("payload")
    with suppress(Exception):  # the tasks that read messages report it
        spark.range(1).select(nothing).select(score(with_attributes=False)).collect()
