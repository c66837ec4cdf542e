"""What the scans of all formats share: the size check, and rejections of incomplete files."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from sparkdl.images.rejection import Reason, Refused

CheckSize = Callable[[int, int], None]
"""Called with (width, height) as soon as they are known; raises `Refused` when they exceed a limit."""


def reject_truncated(detail: str) -> NoReturn:
    raise Refused(Reason.TRUNCATED, detail)


def reject_unsupported(detail: str) -> NoReturn:
    raise Refused(Reason.UNSUPPORTED_FORMAT, detail)


def reject_corrupt(detail: str) -> NoReturn:
    raise Refused(Reason.CORRUPT, detail)


def reject_early_end(name: str, payload: bytes, what: str, *, has_end: bool) -> NoReturn:
    """The structure points past the end: truncated, unless the format's end mark shows that nothing is missing."""
    if has_end:
        reject_corrupt(f"{name}: {what} is longer than the file, which has its end mark")
    reject_truncated(f"{name}: {len(payload)} bytes, ends inside {what}")
