"""Fault points: where a stream can be killed, to test that nothing is lost there; for tests of faults only.

The environment variable SPARKDL_FAULT_POINT names one, as `NAME` or as `NAME:N` for the N-th time that it is reached.
The driver's process then kills itself by SIGKILL, as an operator or a lack of memory would. Without the variable
nothing ever happens here.
"""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from enum import StrEnum

from sparkdl.errors import RequestError, unknown

VARIABLE = "SPARKDL_FAULT_POINT"


class FaultPoint(StrEnum):
    """The worst moments of a sink that stages its micro-batches, in the order in which a batch passes them."""

    STAGED = "staged"
    """All of the batch is staged; the rename that commits it has not been done."""
    COMMITTED = "committed"
    """The batch is committed; nothing of it is published."""
    HALF_PUBLISHED = "half-published"
    """Its dead letters are published, its predictions are not."""
    PUBLISHED = "published"
    """Both are published; what was staged has not been removed."""
    CLEARED = "cleared"
    """The sink is done with the batch; Spark has not noted it."""


_reached: Counter[FaultPoint] = Counter()


def check_fault_point() -> None:
    """Raises a RequestError with the list of names if SPARKDL_FAULT_POINT is set and names no point."""
    _wanted()


def fault_point(point: FaultPoint) -> None:
    """Kills this process if `point` is the one that SPARKDL_FAULT_POINT names, and it is reached for the N-th time."""
    wanted = _wanted()
    if wanted is None or wanted[0] is not point:
        return
    _reached[point] += 1
    if _reached[point] == wanted[1]:
        os.kill(os.getpid(), signal.SIGKILL)


def _wanted() -> tuple[FaultPoint, int] | None:
    """The point, and at which time of reaching it."""
    given = os.environ.get(VARIABLE)
    if not given:
        return None
    name, separator, times = given.partition(":")
    if name not in list(FaultPoint):
        raise unknown(f"{VARIABLE}", name, FaultPoint)
    if separator and not re.fullmatch(r"[1-9]\d*", times):
        raise RequestError(f"{VARIABLE}: expected NAME or NAME:N with N from 1, received {given!r}")
    return FaultPoint(name), int(times or 1)
