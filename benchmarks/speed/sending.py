"""Sends images evenly at a rate, and finds when the result of each could be read.

All times are of one monotonic clock in the measuring process: just before an image is given to the producer, and just
after its result was received.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

_POLL = 0.02  # seconds between two looks at whether all results have arrived
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p99.9": 0.999, "max": 1.0}


@dataclass(frozen=True)
class Sending:
    """How images are sent where latency is measured.

    Attributes
    ----------
    rates
        Images a second, one after the other.
    seconds, warm_up
        How long images are sent at each rate, and before that at the same rate without being counted.
    minutes, rate
        The same for `soak`.
    conf
        Settings of Spark for `sparkdl stream`, `KEY=VALUE`.
    contenders
        The only ones that run; empty for all.
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
        """Send the image of this number."""

    def count(self) -> int:
        """Return how many images have a result by now."""

    def arrivals(self, numbers: Sequence[int]) -> Mapping[int, float]:
        """Return when the result of each of these images arrived, by its number; those without a result are absent."""


@dataclass(frozen=True)
class Phase:
    """Images that were sent at one rate.

    Attributes
    ----------
    sent
        When each counted image was sent, in order.
    seconds
        How long each took. An image without a result counts as long as it was waited for.
    missing
        How many had no result.
    late
        Seconds by which the sender was late at most: that much of a latency can be the measuring process's.
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
        The number of the first image; all before it were sent.
    seconds, warm_up
        How long images are sent that count, and before them those that do not.
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
    """Wait until so many images have a result; False if that takes more than `patience` seconds."""
    deadline = time.monotonic() + patience
    while route.count() < count:
        check()
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
    return True


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """Return `QUANTILES` of latencies, in seconds."""
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
    """Return (when sent, seconds) of the images that took more than `bound` seconds."""
    return [(at, took) for at, took in zip(phase.sent, phase.seconds, strict=True) if took > bound]
