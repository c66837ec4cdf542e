"""The worker's side of a fused pipeline: from encoded images to probabilities, without a stage between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL.Image import Resampling
from pyspark.sql.types import ArrayType, BinaryType, DoubleType, LongType, StringType, StructField, StructType

from sparkdl.files import path_of, read_beginning
from sparkdl.image import decode_payloads, reasons_of
from sparkdl.ink import normalize_ink
from sparkdl.isolation import Decoded
from sparkdl.rejection import Limits
from sparkdl.runtime import Network, extract_features

if TYPE_CHECKING:
    from pyspark import Broadcast


SCORED_TYPE = StructType(
    [
        StructField("probabilities", ArrayType(DoubleType()), True),
        StructField("reason", StringType(), True),
        StructField("detail", StringType(), True),
    ]
)
"""What a fused pipeline gives for each image: `probabilities`, or `reason` and `detail`."""

READ_TYPE = StructType(
    [*SCORED_TYPE, StructField("payload", BinaryType(), True), StructField("size", LongType(), True)]
)
"""The same of files, with the bytes and the size of those that come to no prediction."""

_READ_BYTES = 2 << 20  # encoded bytes that are decoded at a time, unless one image has more


@dataclass(frozen=True)
class Head:
    """A linear classifier of K classes on D features, whose softmax are the probabilities.

    Attributes
    ----------
    coefficients
        float64 [D, K].
    intercepts
        float64 [K].
    """

    coefficients: NDArray[np.float64]
    intercepts: NDArray[np.float64]


@dataclass(frozen=True)
class Scorer:
    """What a fused pipeline computes.

    Attributes
    ----------
    ink_margin
        As of `sparkdl.InkNormalizer`; None for images as they are.
    head
        As a Spark broadcast.
    """

    limits: Limits
    ink_margin: float | None
    network: Network
    resample: Resampling
    head: Broadcast[Head]

    def score(self, payloads: pa.Array) -> pa.StructArray:
        """Of N encoded images: `probabilities` list<double> [K], null where an image was refused; `reason`, `detail`.

        No probabilities are NaN unless a feature is.
        """
        decoded = decode_payloads(payloads, self.limits, gray=self.ink_margin is not None)
        shares = softmax(self._features(decoded), self.head.value)
        return pa.StructArray.from_arrays([_lists(shares, decoded), *reasons_of(decoded)], names=SCORED_TYPE.names)

    def score_files(self, origins: pa.Array) -> pa.StructArray:
        """The same of N files, with their bytes and size where they come to no prediction; null if they are gone."""
        tables = [self._score_some(payloads, sizes) for payloads, sizes in self._read(origins.to_pylist())]
        return pa.concat_arrays(tables) if tables else self._score_some([], [])

    def _read(self, origins: list[str]) -> Iterator[tuple[list[bytes | None], list[int | None]]]:
        """What is in the files, no more at a time than is worth it: files may be large."""
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

    def _score_some(self, payloads: list[bytes | None], sizes: list[int | None]) -> pa.StructArray:
        scored = self.score(pa.array(payloads, pa.binary()))
        good = pc.is_finite(pc.list_element(scored.field("probabilities"), 0)).to_pylist() if payloads else []
        kept = [None if is_good else payload for payload, is_good in zip(payloads, good, strict=True)]
        return pa.StructArray.from_arrays(
            [*scored.flatten(), pa.array(kept, pa.binary()), pa.array(sizes, pa.int64())],
            names=READ_TYPE.names,
        )

    def _features(self, decoded: Decoded) -> NDArray[np.float32]:
        pictures = decoded.images()
        if self.ink_margin is not None:
            pictures = [normalize_ink(picture[:, :, 0], self.ink_margin)[:, :, np.newaxis] for picture in pictures]
        return extract_features(pictures, self.network, self.resample)


def softmax(features: NDArray[np.float32], head: Head) -> NDArray[np.float64]:
    """float64 [N, K]: the probabilities of N images, from their features [N, D]."""
    if not len(features):
        return np.empty((0, len(head.intercepts)))
    # Row by row: of a matrix the sums would depend, in the last digit, on how many rows it has.
    logits = (features[:, np.newaxis].astype(np.float64) @ head.coefficients)[:, 0] + head.intercepts
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _lists(shares: NDArray[np.float64], decoded: Decoded) -> pa.ListArray:
    """The rows of `shares`, one for each image that was not refused, and null for the others."""
    refused = decoded.shapes[:, 2] == 0
    ends = np.concatenate([[0], np.cumsum(~refused)]) * shares.shape[1]
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(shares.ravel()), mask=pa.array(refused))
