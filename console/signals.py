"""Ends a command in good order at the first SIGINT or SIGTERM."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_ENDING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def asked_to_end() -> Iterator[Callable[[], bool]]:
    """Gives what tells whether SIGINT or SIGTERM has come; a second one does what it always does.

    Nothing is raised, so that no work is cut in the middle; and nothing but a flag is set, since the thread that is
    interrupted may hold any lock.
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
