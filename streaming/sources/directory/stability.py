"""Stability of files: which are complete, and which may still be growing.

A file that ends with the end marker of its format is complete. Any other file (of a format without an end marker,
empty, or truncated) counts as complete once it has not changed for a while.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from sparkdl.formats.completeness import is_whole
from streaming.sources.directory.listing import WatchedFile


class Stability:
    """Decides which files are stable: complete, or unchanged for a while.

    Parameters
    ----------
    directory
        The directory that file names are relative to.
    seconds
        How long a file without the end marker of its format must be unchanged; 0 to read every file at once.
    """

    def __init__(self, directory: Path, seconds: float) -> None:
        self.seconds = seconds
        self._directory = directory
        self._since: dict[str, tuple[WatchedFile, float]] = {}

    def observe(self, files: Iterable[WatchedFile], at: float) -> None:
        """Record all files that were not read yet, listed at the time `at` of the monotonic clock."""
        before, self._since = self._since, {}
        for file in files:
            known, since = before.get(file.name, (file, at))
            self._since[file.name] = (file, since if known == file else at)

    @property
    def has_files(self) -> bool:
        """Whether there are files that were not read yet."""
        return bool(self._since)

    def is_stable(self, file: WatchedFile) -> bool:
        """Whether a file, as last observed, may be read."""
        _, since = self._since[file.name]
        return (
            self.seconds == 0
            or time.time() - file.modified_ns / 1e9 >= self.seconds
            or time.monotonic() >= since + self.seconds
            or self._is_whole(file)
        )

    def _is_whole(self, file: WatchedFile) -> bool:
        try:
            descriptor = os.open(self._directory / file.name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return False  # perhaps temporarily; otherwise it becomes a dead letter once it is stable
        try:
            status = os.fstat(descriptor)
            if (status.st_size, status.st_mtime_ns) != (file.size, file.modified_ns):
                return False
            return is_whole(lambda position, count: os.pread(descriptor, count, position), file.size)
        except OSError:
            return False
        finally:
            os.close(descriptor)
