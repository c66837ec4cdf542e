"""Arrow UDF that decodes a column of encoded images in the decoder process of each Spark worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql.types import LongType, StringType, StructField, StructType

from sparkdl.decoding.isolation.client import Decoded, decoder_client
from sparkdl.formats.envelopes import Attributes, Envelope, open_messages
from sparkdl.images.rejection import DEFAULT_LIMITS, Limits
from sparkdl.images.schema import IMAGE_TYPE, binary_views, pixels_to_struct
from sparkdl.spark import arrow
from sparkdl.spark.batch_id import running_batch
from sparkdl.spark.udf import arrow_udf

if TYPE_CHECKING:
    from pyspark.sql import Column

DECODED_TYPE = StructType(
    [
        StructField("image", IMAGE_TYPE, True),
        StructField("reason", StringType(), True),
        StructField("detail", StringType(), True),
        StructField("batch_id", LongType(), True),
    ]
)
"""The type of `decode_images`: `image`, or `reason` (a `Reason`) and `detail`; and `batch_id`, the micro-batch, which
is null outside streams."""


def decode_images(
    payload: Column | str,
    origin: Column | str,
    limits: Limits = DEFAULT_LIMITS,
    *,
    envelope: Envelope | None = None,
    attributes: Column | str | None = None,
) -> Column:
    """Return a column that decodes encoded images, a struct of `DECODED_TYPE`.

    Each row has either an `image` or a `reason` with its `detail`; the others are null. It is a scalar Arrow UDF, which
    Spark runs in the same Python call as neighbouring ones.

    The images are decoded in a separate process next to each Spark worker. An image that crashes its decoder, hangs it
    or exhausts its memory costs one row; see `sparkdl.decoding.isolation.client`. Pictures above a megapixel are
    downscaled to at most 3 MiB each; see `sparkdl.images.pixels.downscale`. A worker therefore needs at most 3 MiB x
    `spark.sql.execution.arrow.maxRecordsPerBatch` for the pixels of one batch. With more than 682 records they may
    exceed the 2 GiB of one Arrow array, which is a `SparkdlError`.

    With an `envelope`, `payload` contains messages that are opened first. `attributes` is the column of their envelope
    attributes, a struct of `sparkdl.formats.envelopes.Attributes`, if the envelope has any.
    """

    def decoded(payloads: pa.Array, origins: pa.Array) -> pa.Array:
        return _decode_column(payloads, origins, limits, envelope)

    def decoded_with_attributes(payloads: pa.Array, origins: pa.Array, said: pa.Array) -> pa.Array:
        return _decode_column(payloads, origins, limits, envelope, said)

    # PySpark's stub requires the kind of function, but at run time the type hints state it.
    if attributes is None:
        return arrow_udf(decoded, DECODED_TYPE)(payload, origin)
    return arrow_udf(decoded_with_attributes, DECODED_TYPE)(payload, origin, attributes)


def decode_payloads(
    payloads: pa.Array,
    limits: Limits,
    *,
    gray: bool = False,
    envelope: Envelope | None = None,
    attributes: pa.Array | None = None,
) -> Decoded:
    """Return the results of a binary column from this process's decoder; with `gray`, all pictures are gray.

    With an `envelope`, the column contains messages and `attributes` their envelope attributes; see `decode_images`.
    """
    data, offsets = binary_views(payloads)
    ends, present = offsets.tolist(), payloads.is_valid().to_pylist()
    views = [data.data[ends[row] : ends[row + 1]] if there else None for row, there in enumerate(present)]
    if envelope is None:
        return decoder_client(limits).decode(views, gray=gray)
    said = None if attributes is None else [Attributes(*row.values()) for row in attributes.to_pylist()]
    opened, rejected = open_messages(envelope, views, said, limits.max_bytes)
    decoded = decoder_client(limits).decode(opened, gray=gray)
    decoded.rejected.update(rejected)  # replaces the decoder's rejection as empty
    return decoded


def reasons_of(decoded: Decoded) -> tuple[pa.Array, pa.Array]:
    """Return the reason and detail of each rejected image, null for the others."""
    rejected = [decoded.rejected.get(row) for row in range(len(decoded.shapes))]
    return (
        arrow.string_array([r.reason.value if r else None for r in rejected]),
        arrow.string_array([r.detail if r else None for r in rejected]),
    )


def _decode_column(
    payloads: pa.Array,
    origins: pa.Array,
    limits: Limits,
    envelope: Envelope | None = None,
    attributes: pa.Array | None = None,
) -> pa.StructArray:
    decoded = decode_payloads(payloads, limits, envelope=envelope, attributes=attributes)
    images = pixels_to_struct(origins.cast(pa.string()), decoded.shapes, decoded.pixels)
    batch_ids = arrow.nullable_array([running_batch()] * len(images), pa.int64())
    return pa.StructArray.from_arrays([images, *reasons_of(decoded), batch_ids], names=DECODED_TYPE.names)
