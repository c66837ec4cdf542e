"""Kafka records as input records: columns of a DataFrame."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from sparkdl.formats.envelopes import ATTRIBUTES, Attributes
from sparkdl.images.labels import MAX_LABEL_LENGTH
from streaming.kafka.messages import Header

_ATTRIBUTES = Attributes(content_type="content-type", spec_version="ce_specversion")
"""The headers of the CloudEvents protocol binding for Kafka that describe the format of a message."""
_BYTES_PER_CHARACTER = 4  # the maximum of UTF-8
_TIMES = ("1970-01-01T00:00:00Z", "9999-01-01T00:00:00Z")  # all readers can represent times in this range


def input_records(records: DataFrame, *, with_attributes: bool = False) -> DataFrame:
    """Return Kafka records with headers as rows of `streaming.schemas.INPUT_RECORD`.

    Invalid headers never fail. Invalid UTF-8 in a label is replaced, and a long label is cut off. If the `produced-at`
    header is not a time, the record's time is used. A producer can set that one too: outside the range that readers can
    represent, `produced_at` is null. With `with_attributes` there is one more column,
    `sparkdl.formats.envelopes.ATTRIBUTES`.
    """
    place = F.concat_ws("/", "topic", "partition", "offset")
    stated = F.try_to_timestamp(_header(Header.PRODUCED_AT.value))
    said = [_header(header).alias(name) for name, header in _ATTRIBUTES._asdict().items()]
    return records.select(
        place.alias("id"),
        F.concat(F.lit("kafka://"), place).alias("origin"),
        F.col("value").alias("payload"),
        F.coalesce(F.length("value"), F.lit(0)).cast("long").alias("size"),
        F.substring(_header(Header.LABEL.value), 1, MAX_LABEL_LENGTH).alias("label"),
        F.coalesce(_bounded(stated), _bounded(F.col("timestamp"))).alias("produced_at"),
        *([F.struct(*said).alias(ATTRIBUTES)] if with_attributes else []),
    )


def _bounded(time: Column) -> Column:
    """Return `time` if it is within `_TIMES`, else null."""
    return F.when(time.between(*(F.lit(bound).cast("timestamp") for bound in _TIMES)), time)


def _header(name: str) -> Column:
    """Return the beginning of the last value of a header as text; null if the header is missing."""
    named = F.filter("headers", lambda header: header["key"] == name)
    value = F.substring(F.try_element_at(named, F.lit(-1))["value"], 1, MAX_LABEL_LENGTH * _BYTES_PER_CHARACTER)
    return F.make_valid_utf8(value.cast("string"))
