"""The layout of a sink that is a directory, as sinks write it and readers find it."""

from __future__ import annotations

from pathlib import Path

from sparkdl.errors import RequestError

PREDICTIONS, DEAD_LETTERS = "predictions", "dead_letters"
"""The two parts of a sink."""


def directory_of(address: str, scheme: str) -> str:
    """Return the directory of `SCHEME:DIR`, or of a bare directory.

    Raises
    ------
    RequestError
        If there is none, or it is a file.
    """
    directory = address.removeprefix(f"{scheme}:")
    if not directory or Path(directory).is_file():
        raise RequestError(f"expected the sink as a directory, received {address!r}")
    return directory


def absolute(directory: str) -> str:
    """Return the absolute path of a directory; a URI of another file system is left as it is."""
    return directory.rstrip("/") if "://" in directory else str(Path(directory).resolve())
