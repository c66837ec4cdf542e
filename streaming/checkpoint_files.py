"""Safe reading of checkpoint files: regular files of limited size that hold only JSON."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path, PurePosixPath
from typing import Any

from sparkdl.errors import RequestError
from sparkdl.system.files import open_regular

LARGEST = 1 << 30
"""Maximum bytes of a file of names, enough for 10 million names. Other files are far smaller."""
_LARGEST_ENTRY = 64 << 20
FAULTS = (OSError, ValueError, TypeError, KeyError, IndexError, OverflowError)
"""The errors that reading and parsing a malformed entry raises."""


def read_entry(path: Path, largest: int = _LARGEST_ENTRY) -> bytes:
    """Return the bytes of a regular file; follow no link, and wait for no pipe or device.

    Raises
    ------
    OSError
        If it cannot be opened, or is not a regular file.
    ValueError
        If it is larger than `largest` bytes.
    """
    with open_regular(path, os.O_NOFOLLOW) as opened, io.BufferedReader(opened) as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise ValueError(f"it is larger than {largest >> 20} MiB")
    return content


def parse(content: bytes | str) -> Any:
    """Return the value of a JSON text.

    Raises
    ------
    ValueError
        If the text is not JSON, or is nested too deeply for Python.
    """
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def checked_name(name: object) -> str:
    """Return `name` if it is a valid path of a file relative to the watched directory.

    Raises
    ------
    ValueError
        If it could lead out of that directory, or listing the directory could not have returned it.
    """
    if not isinstance(name, str) or "\0" in name or PurePosixPath(name).as_posix() != name or name == ".":
        raise ValueError(f"{str(name)[:200]!r} is not the name of a file")
    if name.startswith("/") or any(part.startswith(".") for part in name.split("/")):
        raise ValueError(f"{name[:200]!r} is not the name of a file below the watched directory")
    return name


def check_tree(checkpoint: Path) -> None:
    """Check that a checkpoint contains only directories and regular files.

    Spark and this program remove old entries by name. Through a link they would remove files elsewhere.

    Raises
    ------
    RequestError
        If it contains anything else.
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
                        f"--checkpoint: {entry.path} is {kind}, which no stream creates: remove it, or start "
                        "with a new checkpoint and a new sink"
                    )
