"""Common parts of the scans of all formats: the size check, and rejections of incomplete files."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from sparkdl.images.rejection import Reason, Refused

CheckSize = Callable[[int, int], None]
"""Called with (width, height) as soon as they are known; raises `Refused` if they exceed a limit."""


def reject_truncated(detail: str) -> NoReturn:
    raise Refused(Reason.TRUNCATED, detail)


def reject_unsupported(detail: str) -> NoReturn:
    raise Refused(Reason.UNSUPPORTED_FORMAT, detail)


def reject_corrupt(detail: str) -> NoReturn:
    raise Refused(Reason.CORRUPT, detail)


def reject_early_end(name: str, payload: bytes, what: str, *, has_end: bool) -> NoReturn:
    """Reject a structure that points past the end: as truncated, or as corrupt if the end marker is present."""
    if has_end:
        reject_corrupt(f"{name}: {what} is longer than the file, which has its end mark")
    reject_truncated(f"{name}: {len(payload)} bytes, ends inside {what}")
