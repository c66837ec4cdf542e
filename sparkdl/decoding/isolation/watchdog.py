"""Watchdog: waits for a decoder's answer, as long as the decoder makes progress within its time limit."""

from __future__ import annotations

import select
import socket
import time

from sparkdl.decoding.isolation.server import FAILED, MAX_MESSAGE_BYTES
from sparkdl.decoding.isolation.shared_memory import Progress, SharedMemory
from sparkdl.decoding.isolation.time_limit import AdaptiveTimeout
from sparkdl.images.rejection import Limits

_POLLS = 20  # of the decoder's progress, in one time limit
_MAX_POLL_SECONDS = 0.5
_INVALID_PROGRESS = FAILED + b"what it says of its progress makes no sense"


class Watchdog:
    """Waits for decoders of one worker, and shortens the time limit after slow images.

    Parameters
    ----------
    limits
        `timeout`: seconds that one image may take; `shrinks`: whether slow images shorten it.
    """

    def __init__(self, limits: Limits) -> None:
        self._timeout = limits.timeout
        self._adaptive = AdaptiveTimeout(limits.timeout, limits.shrinks)

    def wait(self, link: socket.socket, shared: SharedMemory) -> bytes:
        """Return the decoder's message, empty if the decoder ended.

        Raises
        ------
        TimeoutError
            If the decoder is in one image for longer than its time limit.
        ConnectionError
            If the socket breaks.
        """
        # Polls without progress count, not a clock: a machine that was suspended is no decoder that hangs.
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
