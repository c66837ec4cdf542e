"""Worker's side of a fused pipeline: from encoded images to probabilities in one function."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL.Image import Resampling
from pyspark.sql.types import DoubleType, LongType, MapType, StringType, StructField, StructType, TimestampType

from sparkdl.decoding.isolation.client import Decoded
from sparkdl.decoding.udf import decode_payloads, reasons_of
from sparkdl.formats.envelopes import ATTRIBUTES, Envelope
from sparkdl.images.ink import normalize_ink
from sparkdl.images.rejection import Limits, Reason, Rejected
from sparkdl.networks.runtime import Network, Shared, extract_features
from sparkdl.spark import arrow
from sparkdl.spark.batch_id import running_batch
from sparkdl.system.file_uris import path_of
from sparkdl.system.files import read_beginning

RESULT_TYPE = StructType(
    [
        StructField("prediction", StringType(), True),
        StructField("confidence", DoubleType(), True),
        StructField("probabilities", MapType(StringType(), DoubleType(), False), True),
        StructField("reason", StringType(), True),
        StructField("detail", StringType(), True),
        StructField("scored_at", TimestampType(), True),
        StructField("batch_id", LongType(), True),
    ]
)
"""The columns that a fused pipeline adds to an input record: the first three, or `reason` and `detail`; then the time
and the micro-batch."""

PREDICTION_TYPE = StructType(RESULT_TYPE.fields[:5])
"""The result for one image: the first three columns, or `reason` and `detail`."""

NO_PROBABILITIES = "the model gave no probabilities for this image"
"""The detail of an image on which the model fails."""

_READ_BYTES = 2 << 20  # encoded bytes decoded at once, unless one image has more


@dataclass(frozen=True)
class Head:
    """A linear classifier of K classes on D features; the probabilities are its softmax.

    Attributes
    ----------
    coefficients
        float64 [D, K].
    intercepts
        float64 [K].
    classes
        The names of the classes.
    """

    coefficients: NDArray[np.float64]
    intercepts: NDArray[np.float64]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class FusedInference:
    """A fused pipeline as a function of Arrow batches in a worker.

    Attributes
    ----------
    ink_margin
        The margin of `sparkdl.InkNormalizer`; None for no ink crop.
    head
        The classifier, as a value that workers have.
    envelope
        How `payload` contains the image; None if it is the image.
    """

    limits: Limits
    ink_margin: float | None
    network: Network
    resample: Resampling
    head: Shared[Head]
    envelope: Envelope | None = None

    def predict_payloads(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Add the columns of `RESULT_TYPE` to rows with `payload`; keep `payload` of rejected images only."""
        for rows in batches:
            yield self._with_results(rows, rows["payload"])

    def predict_files(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Do the same with `payload` and `size` of the file at `origin`; both are null if the file is gone."""
        for rows in batches:
            start = 0
            for payloads, sizes in self._read(rows["origin"].to_pylist()):
                part = rows.slice(start, len(sizes))
                start += len(sizes)
                size = arrow.nullable_array(sizes, pa.int64())
                sized = part.set_column(part.schema.get_field_index("size"), "size", size)
                yield self._with_results(sized, arrow.binary_array(payloads))

    def _with_results(self, rows: pa.RecordBatch, payloads: pa.Array) -> pa.RecordBatch:
        has_attributes = self.envelope is not None and self.envelope.has_attributes
        results = self.predict(payloads, rows[ATTRIBUTES] if has_attributes else None)
        rejected = pc.if_else(results.field("reason").is_valid(), payloads, pa.nulls(len(payloads), payloads.type))
        scored_at, batch_id = time.time_ns() // 1000, running_batch()
        return pa.RecordBatch.from_arrays(
            [
                *(rejected if name == "payload" else rows[name] for name in rows.schema.names),
                *results.flatten(),
                arrow.nullable_array([scored_at] * len(payloads), pa.timestamp("us", "UTC")),
                arrow.nullable_array([batch_id] * len(payloads), pa.int64()),
            ],
            names=[*rows.schema.names, *RESULT_TYPE.names],
        )

    def predict(self, payloads: pa.Array, attributes: pa.Array | None) -> pa.StructArray:
        """Return a struct of `PREDICTION_TYPE` for each of N payloads; `attributes` as for `decode_payloads`."""
        gray = self.ink_margin is not None
        decoded = decode_payloads(payloads, self.limits, gray=gray, envelope=self.envelope, attributes=attributes)
        head = self.head.value
        return results_of(softmax(self._features(decoded), head), head.classes, decoded)

    def _read(self, origins: list[str]) -> Iterator[tuple[list[bytes | None], list[int | None]]]:
        """Read files, a few megabytes at a time, because files may be large."""
        payloads, sizes, weight = list[bytes | None](), list[int | None](), 0
        for origin in origins:
            payload, size = read_beginning(path_of(origin), self.limits.max_bytes)
            payloads.append(payload)
            sizes.append(size)
            weight += len(payload or b"")
            if weight >= _READ_BYTES:
                yield payloads, sizes
                payloads, sizes, weight = [], [], 0
        if payloads:
            yield payloads, sizes

    def _features(self, decoded: Decoded) -> NDArray[np.float32]:
        pictures = decoded.images()
        if self.ink_margin is not None:
            pictures = [normalize_ink(picture[:, :, 0], self.ink_margin)[:, :, np.newaxis] for picture in pictures]
        return extract_features(pictures, self.network, self.resample)


def softmax(features: NDArray[np.float32], head: Head) -> NDArray[np.float64]:
    """Return the probabilities, float64 [N, K], of N images from their features [N, D]."""
    if not len(features):
        return np.empty((0, len(head.intercepts)))
    # Row by row, because the last digit of a matrix product depends on the number of rows.
    logits = (features[:, np.newaxis].astype(np.float64) @ head.coefficients)[:, 0] + head.intercepts
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def results_of(shares: NDArray[np.float64], classes: Sequence[str], decoded: Decoded) -> pa.StructArray:
    """Return rows of the first columns of `RESULT_TYPE`, of `PREDICTION_TYPE`, for N images.

    Parameters
    ----------
    shares
        float64 [M, K]: the probabilities of the images that were not rejected. If they are not finite, because a
        feature is not, the image is rejected too, as `MODEL_ERROR`.
    classes
        The names of the K classes.
    """
    rows = np.flatnonzero(decoded.shapes[:, 2])
    confidence = np.zeros(len(decoded.shapes))
    confidence[rows] = shares.max(axis=1, initial=0)
    for row in rows[~np.isfinite(shares).all(axis=1)].tolist():
        decoded.rejected[row] = Rejected(Reason.MODEL_ERROR, NO_PROBABILITIES)
    rejected = np.zeros(len(confidence), bool)
    rejected[list(decoded.rejected)] = True
    best = np.zeros(len(confidence), np.int32)
    best[rows] = shares.argmax(axis=1) if len(rows) else 0
    good = shares[~rejected[rows]]
    ends = np.concatenate([[0], np.cumsum(~rejected)]) * len(classes)
    names = arrow.string_array(classes)
    keys = names.take(arrow.number_array(np.tile(np.arange(len(classes), dtype=np.int32), len(good))))
    starts = arrow.number_array(ends.astype(np.int32), np.append(~rejected, True))
    return pa.StructArray.from_arrays(
        [
            names.take(arrow.number_array(best, ~rejected)),
            arrow.number_array(confidence, ~rejected),
            pa.MapArray.from_arrays(starts, keys, arrow.number_array(good.ravel())),
            *reasons_of(decoded),
        ],
        names=PREDICTION_TYPE.names,
    )
