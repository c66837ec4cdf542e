"""The rows of a stream in real-time mode: the same columns as in micro-batches."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from sparkdl.formats.envelopes import Envelope
from streaming.realtime.function import ANSWER, score
from streaming.results import shape_results

_ANSWER = "_answer"


def realtime_results(records: DataFrame, envelope: Envelope | None) -> DataFrame:
    """Return the rows of `streaming.results.results`, computed by scorers.

    Parameters
    ----------
    records
        A streaming DataFrame of `streaming.schemas.INPUT_RECORD`; the function must be registered.
    envelope
        How a message contains the image.
    """
    answered = records.withColumn(_ANSWER, score(with_attributes=envelope is not None and envelope.has_attributes))
    answers = {name: F.col(f"{_ANSWER}.{name}") for name in ANSWER.names}
    kept = [name for name in records.columns if name != "payload"]
    payload = F.when(answers["reason"].isNotNull(), F.col("payload")).alias("payload")
    classified = answered.select(*kept, payload, *answers.values())
    return shape_results(classified, F.col("model"), F.col("review_below"))
