"""The files of a checkpoint, read as what somebody else may have written: bounded, regular, and nothing but JSON."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path, PurePosixPath
from typing import Any

from sparkdl.errors import RequestError
from sparkdl.system.files import open_regular

LARGEST = 1 << 30
"""Bytes of a file of names: as many as 10 million files have. Other files are far smaller."""
_LARGEST_ENTRY = 64 << 20
FAULTS = (OSError, ValueError, TypeError, KeyError, IndexError, OverflowError)
"""What reading and parsing an entry raises if it is not what it should be."""


def read_entry(path: Path, largest: int = _LARGEST_ENTRY) -> bytes:
    """Return the bytes of a regular file; no link is followed, and no pipe or device waited for.

    Raises
    ------
    OSError
        If it cannot be opened, or is no regular file.
    ValueError
        If it is larger than `largest` bytes.
    """
    with open_regular(path, os.O_NOFOLLOW) as opened, io.BufferedReader(opened) as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise ValueError(f"it is larger than {largest >> 20} MiB")
    return content


def parse(content: bytes | str) -> Any:
    """Return what JSON says.

    Raises
    ------
    ValueError
        If it is none, or is nested deeper than Python can go.
    """
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def checked_name(name: object) -> str:
    """Return the path of a file below the watched directory, relative to it.

    Raises
    ------
    ValueError
        If it could lead out of that directory, or is none that listing the directory gives.
    """
    if not isinstance(name, str) or "\0" in name or PurePosixPath(name).as_posix() != name or name == ".":
        raise ValueError(f"{str(name)[:200]!r} is no name of a file")
    if name.startswith("/") or any(part.startswith(".") for part in name.split("/")):
        raise ValueError(f"{name[:200]!r} is no name of a file below the watched directory")
    return name


def check_tree(checkpoint: Path) -> None:
    """Ask whether a checkpoint is directories and files only.

    Spark and this program remove old entries by their names: through a link they would be removed elsewhere.

    Raises
    ------
    RequestError
        If something else is in it.
    """
    folders = [checkpoint]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                elif not entry.is_file(follow_symlinks=False):
                    kind = "a link" if entry.is_symlink() else "neither a file nor a directory"
                    raise RequestError(
                        f"--checkpoint: {entry.path} is {kind}, which no stream has put there: remove it, or begin "
                        "with a new checkpoint and a new sink"
                    )
