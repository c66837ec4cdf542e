"""Conversion between paths and `file:` URIs, the `origin` of an image in a file."""

from __future__ import annotations

import os
from urllib.parse import quote, unquote_to_bytes

_SCHEME = "file:"


def origin_of(path: str | os.PathLike[str]) -> str:
    """Return the `file:` URI of a path, percent-encoded; the name may contain any bytes."""
    return f"{_SCHEME}{quote(os.fsencode(path))}"


def path_of(origin: str) -> str:
    """Return the path for a URI of `origin_of`."""
    return os.fsdecode(unquote_to_bytes(origin.removeprefix(_SCHEME)))
