"""Whether a file ends as its format ends, from its first and last bytes."""

from __future__ import annotations

from collections.abc import Callable

from sparkdl.formats.containers.boxes import boxes
from sparkdl.formats.containers.heif import end_of_data
from sparkdl.formats.signatures import CONTAINERS

ReadAt = Callable[[int, int], bytes]
"""Returns the bytes of a file from (position, count); fewer at its end."""

_HEAD, _TAIL = 32, 64  # bytes: every signature, and every end
_JPEG_SCAN, _JPEG_SEGMENTS = 0xDA, 100
_MAX_BOXES, _MAX_META = 100, 1 << 20


def is_whole(read: ReadAt, size: int) -> bool:
    """Whether the file of `size` bytes begins and ends as one of the formats with an end marker.

    A truncated picture never passes. A complete one may fail: TIFF always fails.
    """
    head = read(0, _HEAD)
    name = next((container.name for container in CONTAINERS if container.signature.match(head)), "")
    if name not in _ENDS:
        return False
    if not _ENDS[name](head, read(max(0, size - _TAIL), _TAIL), size):
        return False
    if name in _BOXED:
        return _boxes_fill(read, size)
    return name != "JPEG" or _reaches_the_scan(read, size)


def _png(head: bytes, tail: bytes, size: int) -> bool:
    return tail.endswith(b"\0\0\0\0IEND\xaeB`\x82")


def _jpeg(head: bytes, tail: bytes, size: int) -> bool:
    return tail.endswith(b"\xff\xd9")


def _gif(head: bytes, tail: bytes, size: int) -> bool:
    return tail.endswith(b"\0;")  # the end of the last data block and of the file


def _bmp(head: bytes, tail: bytes, size: int) -> bool:
    return int.from_bytes(head[2:6], "little") == size and _is_filled(tail)


def _webp(head: bytes, tail: bytes, size: int) -> bool:
    return 8 + int.from_bytes(head[4:8], "little") == size and _is_filled(tail)


def _filled(head: bytes, tail: bytes, size: int) -> bool:
    return _is_filled(tail)


def _is_filled(tail: bytes) -> bool:
    """Whether the end is not all zeros: some programs allocate the full length first and write the content later."""
    return any(tail)


_ENDS: dict[str, Callable[[bytes, bytes, int], bool]] = {
    "PNG": _png,
    "JPEG": _jpeg,
    "GIF": _gif,
    "BMP": _bmp,
    "WEBP": _webp,
    "AVIF": _filled,
    "HEIC": _filled,
}
_BOXED = frozenset({"AVIF", "HEIC"})


def _boxes_fill(read: ReadAt, size: int) -> bool:
    """Whether the boxes of a file end where the file ends, with the data of its pictures before that."""
    position, data_end, has_data = 0, None, False
    for _ in range(_MAX_BOXES):
        header = read(position, 16)
        box = next(boxes(header, 0, len(header)), None)
        if box is None or header[:4] == bytes(4):
            return False  # not a box, or one that extends to the end of the file, wherever that is
        if box.kind == b"meta" and box.end <= _MAX_META:
            data_end = end_of_data(read(position, box.end))
        has_data = has_data or box.kind == b"mdat"
        position += box.end
        if position == size:
            return has_data and data_end is not None and data_end <= size
    return False


def _reaches_the_scan(read: ReadAt, size: int) -> bool:
    """Whether the pixels of a JPEG have begun: the metadata before them may also end with a small JPEG."""
    position = 2
    for _ in range(_JPEG_SEGMENTS):
        marker = read(position, 4)
        if len(marker) < 4 or marker[0] != 0xFF:
            return False
        if marker[1] == _JPEG_SCAN:
            return True
        position += 2 + int.from_bytes(marker[2:], "big")
    return False
