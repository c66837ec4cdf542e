"""Files of a folder that came from outside: read as far as they are expected to go, and nowhere else."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from sparkdl.errors import RequestError, SparkdlError

_MAX_JSON = 16 << 20  # bytes; the names of 20,000 classes have 1 MB
_SNAPSHOTS, _BLOBS = "snapshots", "blobs"  # of a cache of huggingface_hub, whose files are links to blobs


def read_file(path: Path, limit: int) -> bytes:
    """Return the content of a regular file.

    Raises
    ------
    RequestError
        If it cannot be read.
    SparkdlError
        If it is longer than `limit` bytes.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise RequestError(f"{path} is not a file")
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > limit:
        raise SparkdlError(f"{path}: expected at most {limit} bytes, received more")
    return content


def file_in(folder: Path, name: str, home: Path | None = None) -> Path | None:
    """Return the file `name` of a folder, None if there is none.

    Parameters
    ----------
    home
        Links may lead to files below it, or to those of the cache of huggingface_hub that it is in. Default: the
        folder.

    Raises
    ------
    SparkdlError
        If the file is a link that leads elsewhere.
    """
    path = folder / name
    if not path.exists() and not path.is_symlink():
        return None
    home = (home or folder).resolve()
    roots = [home, home.parent.parent / _BLOBS] if home.parent.name == _SNAPSHOTS else [home]
    if not any(path.resolve().is_relative_to(root) for root in roots):
        raise SparkdlError(f"{folder}: {name} is a link out of the folder, which is never followed")
    return path


def read_json(folder: Path, name: str) -> dict[str, Any] | None:
    """Return the JSON object in the file `name` of a folder, None if there is no such file.

    Raises
    ------
    SparkdlError
        If it holds something else.
    """
    path = file_in(folder, name)
    if path is None:
        return None
    try:
        value = json.loads(read_file(path, _MAX_JSON))
    except (ValueError, RecursionError) as error:
        raise SparkdlError(f"{path} is no JSON: {str(error)[:200]}") from error
    if not isinstance(value, dict):
        raise SparkdlError(f"{path}: expected a JSON object")
    return value
