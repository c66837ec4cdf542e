"""Descriptions of damage: errors of codecs, Python and Pillow in the terms of a reader of dead letters."""

from __future__ import annotations

import os
import re
import traceback

_PLAIN = re.compile(r"[A-Za-z][\w ,.;:()'/%+-]{3,119}")
_OF_PYTHON = re.compile(
    r"[A-Za-z]+(?:Error|Exception|Warning)\b|\bNone|\b(?:object|argument|index|buffer|bytes-like|unpack)"
)
_DAMAGED = "the header or the pixel data is damaged"


def damage_of(error: Exception) -> str:
    """Return the damage that a codec's error describes; a general text if the message is Python's own."""
    # Pillow itself raises these two, and also wraps other errors in the second.
    own = isinstance(error, (OSError, SyntaxError)) and bool(error.args) and isinstance(error.args[0], str)
    message = " ".join(str(error).split())
    if own and _PLAIN.fullmatch(message) and not _OF_PYTHON.search(message):
        return f"{_DAMAGED}: {message}"
    return _DAMAGED


def failure_of(error: BaseException) -> str:
    """Return the reason why a decoder failed, without the name of an exception."""
    if isinstance(error, OSError) and error.errno is not None:
        return f"the system refused a call: {os.strerror(error.errno)}"
    if isinstance(error, SystemExit) and isinstance(error.code, str):
        return error.code
    if isinstance(error, MemoryError):
        return "out of memory"
    place = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" in {place[0].name}, line {place[0].lineno}" if place else ""
    return f"an internal error{where}: {_OF_PYTHON.sub('fault', str(error))}"
