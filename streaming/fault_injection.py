"""Fault points: places where a test can kill a stream to check that no result is lost. For fault tests only.

The environment variable SPARKDL_FAULT_POINT names one, as `NAME` or as `NAME:N` for the N-th time that it is reached.
The driver process then kills itself with SIGKILL, as an operator or the out-of-memory killer would. Without the
variable this module does nothing.
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
    """The critical moments of a sink that stages its micro-batches, in the order in which a batch reaches them."""

    STAGED = "staged"
    """The whole batch is staged; the rename that commits it has not happened yet."""
    COMMITTED = "committed"
    """The batch is committed; no part of it is published."""
    HALF_PUBLISHED = "half-published"
    """Its dead letters are published, its predictions are not."""
    PUBLISHED = "published"
    """Both are published; the staged files have not been removed."""
    CLEARED = "cleared"
    """The sink has finished the batch; Spark has not recorded it."""


_reached: Counter[FaultPoint] = Counter()


def check_fault_point() -> None:
    """Raise a RequestError that lists the names if SPARKDL_FAULT_POINT names no fault point."""
    _wanted()


def fault_point(point: FaultPoint) -> None:
    """Kill this process if SPARKDL_FAULT_POINT names `point` and it is reached for the N-th time."""
    wanted = _wanted()
    if wanted is None or wanted[0] is not point:
        return
    _reached[point] += 1
    if _reached[point] == wanted[1]:
        os.kill(os.getpid(), signal.SIGKILL)


def _wanted() -> tuple[FaultPoint, int] | None:
    """Return the requested fault point and the number N; None if the variable is not set."""
    given = os.environ.get(VARIABLE)
    if not given:
        return None
    name, separator, times = given.partition(":")
    if name not in list(FaultPoint):
        raise unknown(f"{VARIABLE}", name, FaultPoint)
    if separator and not re.fullmatch(r"[1-9]\d*", times):
        raise RequestError(f"{VARIABLE}: expected NAME or NAME:N with N from 1, received {given!r}")
    return FaultPoint(name), int(times or 1)
