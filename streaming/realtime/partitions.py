"""Watch on the number of partitions that a real-time stream reads."""

from __future__ import annotations

import threading
from contextlib import suppress

from sparkdl.errors import SparkdlError
from streaming.kafka.admin import PartitionCounter

_EVERY = 5.0  # seconds between two counts


class PartitionWatch:
    """Counts partitions in the background, and retries if the broker does not answer.

    Parameters
    ----------
    counter
        Counts the partitions; `close` closes it.
    partitions
        The number of partitions when the stream was planned.
    """

    def __init__(self, counter: PartitionCounter, partitions: int) -> None:
        self._counter = counter
        self._ended = threading.Event()
        self.partitions = partitions
        """The number of partitions at the last count."""
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start counting every few seconds; a second call does nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="partitions", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop counting."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(_EVERY):
            with suppress(SparkdlError):
                self.partitions = self._counter()
        self._counter.close()
