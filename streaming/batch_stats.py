"""Counts and latencies of a micro-batch."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

LATENCY_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0)
"""Upper bounds in seconds by which latencies are counted; the last bucket has no bound."""


@dataclass(frozen=True)
class Latency:
    """Seconds from an image's `produced_at` until it was classified or rejected, over one micro-batch.

    Attributes
    ----------
    p50, p95, p99, max
        Quantiles.
    total
        The sum.
    counts
        The number of images that took at most each of `LATENCY_BUCKETS`, then the number of all images.
    """

    p50: float
    p95: float
    p99: float
    max: float
    total: float
    counts: tuple[int, ...]

    @staticmethod
    def of(bins: Sequence[tuple[float, int]]) -> Latency:
        """Return the latency for ascending pairs of seconds and the number of images that took them."""
        numbers = [number for _, number in bins]
        up_to, images = list(accumulate(numbers)), sum(numbers)
        p50, p95, p99, most = (bins[bisect_left(up_to, share * images)][0] for share in (0.5, 0.95, 0.99, 1.0))
        counts = [sum(number for seconds, number in bins if seconds <= bound) for bound in LATENCY_BUCKETS]
        return Latency(p50, p95, p99, most, sum(seconds * number for seconds, number in bins), (*counts, images))


@dataclass(frozen=True)
class BatchStats:
    """The number of predictions and dead letters in one micro-batch, and their latency if it is known.

    The sum of the two is the number of images.
    """

    predictions: int
    dead_letters: int
    latency: Latency | None = field(default=None, compare=False)
