"""The layout of a directory sink, shared by sinks and readers."""

from __future__ import annotations

from pathlib import Path

from sparkdl.errors import RequestError

PREDICTIONS, DEAD_LETTERS = "predictions", "dead_letters"
"""The subdirectories of a sink."""


def directory_of(address: str, scheme: str) -> str:
    """Return the directory of the address `SCHEME:DIR` or `DIR`.

    Raises
    ------
    RequestError
        If the address names no directory, or names a file.
    """
    directory = address.removeprefix(f"{scheme}:")
    if not directory or Path(directory).is_file():
        raise RequestError(f"expected the sink as a directory, received {address!r}")
    return directory


def absolute(directory: str) -> str:
    """Return the absolute path of a directory; a URI of another file system is returned unchanged."""
    return directory.rstrip("/") if "://" in directory else str(Path(directory).resolve())
