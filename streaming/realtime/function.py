"""The function of columns that asks scorers: compiled from `RealtimeScorer.java`, and registered in a session."""

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
"""What the function returns: the columns of a fused pipeline, and the version that gave them with its threshold, which
are null where no scorer survived the image."""


def register_scorer(spark: SparkSession, command: Sequence[str], environment: Mapping[str, str], model: str) -> None:
    """Compile the function, and register it in a session; one that is registered already is replaced.

    Parameters
    ----------
    command
        Starts the scorers; the path of the model is added to it.
    environment
        Variables for them.
    model
        An absolute path on this machine, or the name of a file that was added to the Spark context.
    """
    variables = [text for variable in environment.items() for text in variable]
    register_java_function(
        spark, _NAME, jar_of(spark.sparkContext, _SOURCE), CLASS, [command, variables, model], ANSWER
    )


def score(*, with_attributes: bool) -> Column:
    """Return the column of `ANSWER` for `payload`, and what the headers say of its envelope."""
    said = [
        F.col(f"{ATTRIBUTES}.{name}") if with_attributes else F.lit(None).cast("string") for name in Attributes._fields
    ]
    return F.call_function(_NAME, F.col("payload"), *said)


def start_scorers(spark: SparkSession) -> None:
    """Let the function start the scorers of this machine before a message needs them; if this fails, then."""
    nothing = F.lit(None).cast("binary").alias("payload")
    with suppress(Exception):  # the messages' tasks report it
        spark.range(1).select(nothing).select(score(with_attributes=False)).collect()
