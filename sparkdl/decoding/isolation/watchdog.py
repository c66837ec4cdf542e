"""Watchdog: waits for a decoder's answer while the decoder makes progress within its time limit."""

from __future__ import annotations

import select
import socket
import time

from sparkdl.decoding.isolation.server import FAILED, MAX_MESSAGE_BYTES
from sparkdl.decoding.isolation.shared_memory import Progress, SharedMemory
from sparkdl.decoding.isolation.time_limit import AdaptiveTimeout
from sparkdl.images.rejection import Limits

_POLLS = 20  # polls of the decoder's progress per time limit
_MAX_POLL_SECONDS = 0.5
_INVALID_PROGRESS = FAILED + b"it reported invalid progress"


class Watchdog:
    """Waits for the decoders of one worker, and shortens the time limit after slow images.

    Parameters
    ----------
    limits
        `timeout`: seconds that one image may take; `shrinks`: whether slow images shorten this time.
    """

    def __init__(self, limits: Limits) -> None:
        self._timeout = limits.timeout
        self._adaptive = AdaptiveTimeout(limits.timeout, limits.shrinks)

    def wait(self, link: socket.socket, shared: SharedMemory) -> bytes:
        """Return the decoder's message; empty if the decoder ended.

        Raises
        ------
        TimeoutError
            If the decoder takes longer for one image than its time limit.
        ConnectionError
            If the socket breaks.
        """
        # Count polls without progress instead of using a clock: a suspended machine must not look like a hung decoder.
        progress, held = Progress(), 0.0
        limit = self._limit(shared, progress)
        poll = select.poll()
        poll.register(link, select.POLLIN)
        try:
            while not poll.poll(1000 * (seconds := min(limit / _POLLS, _MAX_POLL_SECONDS))):
                now = shared.progress()
                if now == progress:
                    held += seconds
                    if held >= limit:
                        raise TimeoutError(self._message(limit))
                    continue
                if not progress.may_become(now, shared.count):
                    return _INVALID_PROGRESS
                self._record(held, limit)
                limit, held, progress = self._limit(shared, now), 0.0, now
            return link.recv(MAX_MESSAGE_BYTES)
        finally:
            self._record(held, limit)

    def _limit(self, shared: SharedMemory, progress: Progress) -> float:
        return self._adaptive.limit(time.monotonic(), shared.size_of(progress))

    def _record(self, held: float, limit: float) -> None:
        self._adaptive = self._adaptive.after(held, limit, time.monotonic())

    def _message(self, limit: float) -> str:
        if limit >= self._timeout:
            return f"not decoded within {limit:g} s"
        return f"not decoded within {limit:.2g} s, instead of {self._timeout:g} s, since images before it were slow"
