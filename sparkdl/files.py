"""Files from outside, read by workers: never more of them than is admitted."""

from __future__ import annotations

import os
from urllib.parse import quote, unquote_to_bytes

_SCHEME = "file:"


def origin_of(path: str | os.PathLike[str]) -> str:
    """A URI that leads to the file whatever bytes its name has."""
    return f"{_SCHEME}{quote(os.fsencode(path))}"


def path_of(origin: str) -> str:
    """The path that `origin_of` was given."""
    return os.fsdecode(unquote_to_bytes(origin.removeprefix(_SCHEME)))


def read_beginning(path: str | os.PathLike[str], most: int) -> tuple[bytes | None, int | None]:
    """At most `most + 1` bytes of a file, and its size in bytes; None for both if there is nothing that can be read."""
    try:
        with open(path, "rb") as opened:  # noqa: PTH123 - of a path as text, ten thousand times
            return opened.read(most + 1), os.fstat(opened.fileno()).st_size
    except (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError):
        return None, None  # a dead letter: there is nothing that could be tried again
