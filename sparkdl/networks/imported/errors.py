"""Errors of libraries as one line."""

from __future__ import annotations

_MAX_LENGTH = 300  # characters


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the error's name."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[0][:_MAX_LENGTH]
