"""Graceful end of a command at the first SIGINT or SIGTERM."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_ENDING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def catch_stop_signals() -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether SIGINT or SIGTERM was received; a second one has its usual effect.

    The handler raises nothing, so that no work is cut off in the middle. It only sets a flag, because the interrupted
    thread may hold any lock.
    """
    asked = False
    before = {number: signal.getsignal(number) for number in _ENDING}

    def note(number: int, frame: object) -> None:
        nonlocal asked
        asked = True
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in _ENDING:
        signal.signal(number, note)
    try:
        yield lambda: asked
    finally:
        restore()
