"""Sending of images at a constant rate, and the arrival time of each result.

All times are from one monotonic clock in the measuring process: just before an image is passed to the producer, and
just after its result was received.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

_POLL = 0.02  # seconds between two checks whether all results have arrived
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p99.9": 0.999, "max": 1.0}


@dataclass(frozen=True)
class Sending:
    """How images are sent in latency measurements.

    Attributes
    ----------
    rates
        Images per second, one rate after the other.
    seconds, warm_up
        The duration of each rate, and of the warm-up before it at the same rate.
    minutes, rate
        The same for `soak`.
    conf
        Spark settings for `sparkdl stream`, `KEY=VALUE`.
    contenders
        The contenders to run; empty for all.
    """

    rates: Sequence[int] = (1, 10, 50, 200)
    seconds: float = 60
    warm_up: float = 20
    minutes: float = 30
    rate: int = 10
    conf: Sequence[str] = ()
    contenders: Sequence[str] = ()


class Route(Protocol):
    """Where images go in and results come out."""

    def send(self, number: int) -> None:
        """Send the image with this number."""

    def count(self) -> int:
        """Return the number of images with a result so far."""

    def arrivals(self, numbers: Sequence[int]) -> Mapping[int, float]:
        """Return when the result of each of these images arrived, by its number; those without a result are absent."""


@dataclass(frozen=True)
class Phase:
    """The images sent at one rate.

    Attributes
    ----------
    sent
        When each counted image was sent, in order.
    seconds
        The latency of each. An image without a result counts with the time that was waited for it.
    missing
        The number of images without a result.
    late
        Maximum delay of the sender in seconds: up to that much of a latency can be due to the measuring process.
    ended
        The number of the next image.
    """

    sent: Sequence[float]
    seconds: Sequence[float]
    missing: int
    late: float
    ended: int


def send_at(
    route: Route,
    first: int,
    rate: float,
    seconds: float,
    warm_up: float,
    patience: float,
    check: Callable[[], None] = lambda: None,
) -> Phase:
    """Send `rate` images a second and wait for their results.

    Parameters
    ----------
    first
        The number of the first image; all earlier ones were sent.
    seconds, warm_up
        The duration of the measurement, and of the warm-up before it.
    patience
        Seconds to wait for results after the last image was sent.
    check
        Raises an error if the contender has ended.
    """
    gc.collect()
    gc.freeze()
    sent: list[float] = []
    late = 0.0
    began = time.monotonic()
    for number in range(round(rate * (warm_up + seconds))):
        due = began + number / rate
        if (left := due - time.monotonic()) > 0:
            time.sleep(left)
        sent.append(time.monotonic())
        late = max(late, sent[-1] - due)
        route.send(first + number)
    ended = first + len(sent)
    wait_for(route, ended, patience, check)
    now, warm = time.monotonic(), round(rate * warm_up)
    numbers = range(first + warm, ended)
    arrived = route.arrivals(numbers)
    took = [arrived.get(number, now) - at for number, at in zip(numbers, sent[warm:], strict=True)]
    return Phase(sent[warm:], took, len(numbers) - len(arrived), late, ended)


def wait_for(route: Route, count: int, patience: float, check: Callable[[], None] = lambda: None) -> bool:
    """Wait until `count` images have a result; return False if that takes more than `patience` seconds."""
    deadline = time.monotonic() + patience
    while route.count() < count:
        check()
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
    return True


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """Return the `QUANTILES` of latencies in seconds."""
    return {name: float(np.quantile(seconds, share)) for name, share in QUANTILES.items()}


def windows(phase: Phase, length: float) -> list[float]:
    """Return the p99 of the images of each `length` seconds of a phase; a shorter rest belongs to the last one."""
    began = phase.sent[0]
    count = max(1, round((phase.sent[-1] - began) / length))
    groups: list[list[float]] = [[] for _ in range(count)]
    for at, took in zip(phase.sent, phase.seconds, strict=True):
        groups[min(int((at - began) / length), count - 1)].append(took)
    return [float(np.quantile(group, 0.99)) for group in groups]


def slow(phase: Phase, bound: float) -> list[tuple[float, float]]:
    """Return (time of sending, seconds) of the images that took more than `bound` seconds."""
    return [(at, took) for at, took in zip(phase.sent, phase.seconds, strict=True) if took > bound]
