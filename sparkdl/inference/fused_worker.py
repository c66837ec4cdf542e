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
from pyspark.sql.types import (
    ArrayType,
    DoubleType,
    LongType,
    MapType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from sparkdl.decoding.isolation.client import Decoded
from sparkdl.decoding.udf import decode_payloads, reasons_of
from sparkdl.formats.envelopes import ATTRIBUTES, Envelope
from sparkdl.images.ink import normalize_ink
from sparkdl.images.rejection import Limits, Reason, Rejected
from sparkdl.inference.heads import Head, OutputHead
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
        StructField("labels", ArrayType(StringType(), False), True),
        StructField("reason", StringType(), True),
        StructField("detail", StringType(), True),
        StructField("scored_at", TimestampType(), True),
        StructField("batch_id", LongType(), True),
    ]
)
"""The columns that a fused pipeline adds to an input record: the first four, or `reason` and `detail`; then the time
and the micro-batch. `labels` is null unless an image can have several classes."""

PREDICTION_TYPE = StructType(RESULT_TYPE.fields[:6])
"""The result for one image: the first four columns, or `reason` and `detail`."""

NO_PROBABILITIES = "the model gave no probabilities for this image"
"""The detail of an image on which the model fails."""

_SORTED_ROWS = 256  # sorted at once; with a thousand classes they take 2 MB
_READ_BYTES = 2 << 20  # encoded bytes decoded at once, unless one image has more


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
    top_k
        The number of most probable classes in `probabilities`; None for all.
    """

    limits: Limits
    ink_margin: float | None
    network: Network
    resample: Resampling
    head: Shared[Head | OutputHead]
    envelope: Envelope | None = None
    top_k: int | None = None

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
        shares = head.probabilities(self._features(decoded))
        return results_of(shares, head.classes, decoded, threshold=head.threshold, top_k=self.top_k)

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


def results_of(
    shares: NDArray[np.float64],
    classes: Sequence[str],
    decoded: Decoded,
    *,
    threshold: float | None = None,
    top_k: int | None = None,
) -> pa.StructArray:
    """Return rows of the first columns of `RESULT_TYPE`, those of `PREDICTION_TYPE`, for N images.

    Parameters
    ----------
    shares
        float64 [M, K]: the probabilities of the images that were not rejected. If they are not finite, because a
        feature is not, the image is rejected too, as `MODEL_ERROR`.
    classes
        The names of the K classes.
    threshold
        The probability from which on a class is one of `labels`; None if an image has one class.
    top_k
        The number of most probable classes in `probabilities`, the most probable first; None for all.
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
    names = arrow.string_array(classes)
    if top_k is None or top_k >= len(classes):
        kept, values = np.tile(np.arange(len(classes), dtype=np.int32), len(good)), good
    else:
        most = most_probable(good, top_k)
        kept, values = most.astype(np.int32).ravel(), np.take_along_axis(good, most, axis=1)
    counts = np.where(rejected, 0, values.shape[1] if len(values) else 0)
    return pa.StructArray.from_arrays(
        [
            names.take(arrow.number_array(best, ~rejected)),
            arrow.number_array(confidence, ~rejected),
            pa.MapArray.from_arrays(
                _starts(counts, rejected), names.take(arrow.number_array(kept)), arrow.number_array(values.ravel())
            ),
            _labels_of(good, names, rejected, threshold),
            *reasons_of(decoded),
        ],
        names=PREDICTION_TYPE.names,
    )


def most_probable(shares: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Return the indices of the `count` highest of each row of [N, K], highest first, the first of equals first."""
    found = np.empty((len(shares), count), np.intp)
    for start in range(0, len(shares), _SORTED_ROWS):
        part = slice(start, start + _SORTED_ROWS)
        found[part] = np.argsort(-shares[part], axis=1, kind="stable")[:, :count]
    return found


def _starts(counts: NDArray[np.intp], rejected: NDArray[np.bool_]) -> pa.Array:
    """Return where each row's entries start, null for a rejected row."""
    ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return arrow.number_array(ends, np.append(~rejected, True))


def _labels_of(
    shares: NDArray[np.float64], names: pa.Array, rejected: NDArray[np.bool_], threshold: float | None
) -> pa.Array:
    if threshold is None:
        return pa.nulls(len(rejected), pa.list_(pa.string()))
    above = shares >= threshold
    counts = np.zeros(len(rejected), np.intp)
    counts[~rejected] = above.sum(axis=1)
    chosen = names.take(arrow.number_array(np.nonzero(above)[1].astype(np.int32)))
    return pa.ListArray.from_arrays(_starts(counts, rejected), chosen)
