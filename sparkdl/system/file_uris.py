"""`file:` URIs of paths, and back: the `origin` of an image that is a file."""

from __future__ import annotations

import os
from urllib.parse import quote, unquote_to_bytes

_SCHEME = "file:"


def origin_of(path: str | os.PathLike[str]) -> str:
    """Return the `file:` URI of a path, percent-encoded, whatever bytes its name has."""
    return f"{_SCHEME}{quote(os.fsencode(path))}"


def path_of(origin: str) -> str:
    """Return the path that `origin_of` was given."""
    return os.fsdecode(unquote_to_bytes(origin.removeprefix(_SCHEME)))
