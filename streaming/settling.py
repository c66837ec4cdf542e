"""Tells files that are complete from those that may still be written.

A file that ends as its format ends is complete; of another (a format without an end of its own, a file that is empty
or cut off) only time can tell.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from sparkdl.containers import CONTAINERS
from streaming.watched import WatchedFile

ReadAt = Callable[[int, int], bytes]
"""Gives the bytes of a file from (position, count), fewer at its end."""

_HEAD, _TAIL = 32, 64  # bytes: every signature, and every end
_JPEG_SCAN, _JPEG_SEGMENTS = 0xDA, 100


def is_whole(read: ReadAt, size: int) -> bool:
    """Whether the file of `size` bytes begins and ends as one of the formats that have an end.

    A picture that is cut off never passes, one that is complete may fail: TIFF always does.
    """
    head = read(0, _HEAD)
    name = next((container.name for container in CONTAINERS if container.signature.match(head)), "")
    if name not in _ENDS:
        return False
    return _ENDS[name](head, read(max(0, size - _TAIL), _TAIL), size) and (
        name != "JPEG" or _reaches_the_scan(read, size)
    )


def _png(head: bytes, tail: bytes, size: int) -> bool:
    return tail.endswith(b"\0\0\0\0IEND\xaeB`\x82")


def _jpeg(head: bytes, tail: bytes, size: int) -> bool:
    return tail.endswith(b"\xff\xd9")


def _gif(head: bytes, tail: bytes, size: int) -> bool:
    return tail.endswith(b"\0;")  # the end of the last block of data, and of the file


def _bmp(head: bytes, tail: bytes, size: int) -> bool:
    return int.from_bytes(head[2:6], "little") == size and _is_filled(tail)


def _webp(head: bytes, tail: bytes, size: int) -> bool:
    return 8 + int.from_bytes(head[4:8], "little") == size and _is_filled(tail)


def _is_filled(tail: bytes) -> bool:
    """Not zeros alone: some programs give a file its full length first, and its content then."""
    return any(tail)


_ENDS: dict[str, Callable[[bytes, bytes, int], bool]] = {
    "PNG": _png,
    "JPEG": _jpeg,
    "GIF": _gif,
    "BMP": _bmp,
    "WEBP": _webp,
}


def _reaches_the_scan(read: ReadAt, size: int) -> bool:
    """Whether a JPEG's pixels have begun: what a camera writes before them ends with a small JPEG of its own."""
    position = 2
    for _ in range(_JPEG_SEGMENTS):
        marker = read(position, 4)
        if len(marker) < 4 or marker[0] != 0xFF:
            return False
        if marker[1] == _JPEG_SCAN:
            return True
        position += 2 + int.from_bytes(marker[2:], "big")
    return False


class Settling:
    """Which files are settled: complete by their end, or without change for a time.

    Parameters
    ----------
    directory
        That the files' names are relative to.
    seconds
        How long a file that does not end as its format ends must not have changed; 0 for not at all.
    """

    def __init__(self, directory: Path, seconds: float) -> None:
        self.seconds = seconds
        self._directory = directory
        self._since: dict[str, tuple[WatchedFile, float]] = {}

    def observe(self, files: Iterable[WatchedFile], at: float) -> None:
        """Notes what all files that are not taken yet are like at the time `at` of the monotonic clock."""
        before, self._since = self._since, {}
        for file in files:
            known, since = before.get(file.name, (file, at))
            self._since[file.name] = (file, since if known == file else at)

    @property
    def waits(self) -> bool:
        """Whether there are files that are not taken yet."""
        return bool(self._since)

    def is_settled(self, file: WatchedFile) -> bool:
        """Whether a file, as it was observed last, may be taken."""
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
            return False  # perhaps only for the moment; if not, it becomes a dead letter once it has settled
        try:
            status = os.fstat(descriptor)
            if (status.st_size, status.st_mtime_ns) != (file.size, file.modified_ns):
                return False
            return is_whole(lambda position, count: os.pread(descriptor, count, position), file.size)
        except OSError:
            return False
        finally:
            os.close(descriptor)
