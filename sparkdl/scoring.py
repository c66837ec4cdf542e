"""The worker's side of a fused pipeline: from encoded images to probabilities, without a stage between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL.Image import Resampling

from sparkdl.image import decode_payloads, reasons_of
from sparkdl.ink import normalize_ink
from sparkdl.isolation import Decoded
from sparkdl.pixels import to_gray
from sparkdl.rejection import Limits
from sparkdl.runtime import Network, extract_features

if TYPE_CHECKING:
    from pyspark import Broadcast


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
        decoded = decode_payloads(payloads, self.limits)
        shares = softmax(self._features(decoded), self.head.value)
        return pa.StructArray.from_arrays(
            [_lists(shares, decoded), *reasons_of(decoded)], names=["probabilities", "reason", "detail"]
        )

    def _features(self, decoded: Decoded) -> NDArray[np.float32]:
        pictures = decoded.images()
        if self.ink_margin is not None:
            pictures = [normalize_ink(to_gray(picture), self.ink_margin)[:, :, np.newaxis] for picture in pictures]
        return extract_features(pictures, self.network, self.resample)


def softmax(features: NDArray[np.float32], head: Head) -> NDArray[np.float64]:
    """float64 [N, K]: the probabilities of N images, from their features [N, D]."""
    if not len(features):
        return np.empty((0, len(head.intercepts)))
    logits = features.astype(np.float64) @ head.coefficients + head.intercepts
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _lists(shares: NDArray[np.float64], decoded: Decoded) -> pa.ListArray:
    """The rows of `shares`, one for each image that was not refused, and null for the others."""
    refused = decoded.shapes[:, 2] == 0
    ends = np.concatenate([[0], np.cumsum(~refused)]) * shares.shape[1]
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(shares.ravel()), mask=pa.array(refused))
