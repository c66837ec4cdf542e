"""The user's directories: a cache, and data that cannot be made again.

The cache has the jars, networks, CDS archive and scripts that this process or its children load or run. The data are
imported backbones.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import platformdirs

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.system.files import replacing, write_atomically
from sparkdl.system.ownership import writable_by_others

CACHE_VARIABLE = "SPARKDL_CACHE_DIR"
DATA_VARIABLE = "SPARKDL_DATA_DIR"


def cache_directory(part: str) -> Path:
    """Return the directory of one kind of content in the cache, which may not exist yet.

    The cache is the directory named by `SPARKDL_CACHE_DIR`, or the user's cache directory. Its files are trusted as if
    this program had written them, so no other user may be able to write to it.

    Raises
    ------
    RequestError
        If another user except root can write to it or replace a directory on its path.
    """
    default = platformdirs.user_cache_path("sparkdl-streaming")
    return _own_directory("cache", Path(os.environ.get(CACHE_VARIABLE) or default), part, CACHE_VARIABLE)


def data_directory(part: str) -> Path:
    """Return the directory of one kind of data, which may not exist yet.

    It is in the directory that `SPARKDL_DATA_DIR` names, or in the user's data directory.

    Raises
    ------
    RequestError
        As `cache_directory` does.
    """
    default = platformdirs.user_data_path("sparkdl-streaming")
    return _own_directory("data directory", Path(os.environ.get(DATA_VARIABLE) or default), part, DATA_VARIABLE)


def _own_directory(kind: str, named: Path, part: str, variable: str) -> Path:
    # Links are resolved, because a link of another user could lead elsewhere after this check.
    directory = named.absolute().resolve() / part
    for inner in (*reversed(directory.parents), directory):
        try:
            status = inner.lstat()
        except OSError:  # the rest of the path is created at the first write
            break
        if fault := writable_by_others(status, sticky=True):
            raise RequestError(
                f"the {kind} {directory.parent} is refused: {inner} {fault}; set {variable} to a directory that you "
                "alone can write to"
            )
    return directory


def is_owned(path: Path) -> bool:
    """Return whether a file is a regular file that only this user and root can write to."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and writable_by_others(status) is None


def make_directory(directory: Path) -> None:
    """Create a directory of the cache and its parents, for this user only."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)


def write_cached(path: Path, content: bytes) -> None:
    """Write a file of the cache atomically.

    Raises
    ------
    SparkdlError
        If it cannot be written.
    """
    try:
        make_directory(path.parent)
        write_atomically(path, content)
    except OSError as error:
        raise SparkdlError(f"{path} cannot be written ({error}): set {CACHE_VARIABLE} to another directory") from error


def write_cached_program(path: Path, content: str) -> None:
    """Write an executable script of the cache, unless it exists with this content.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    if path.is_file() and path.read_text(encoding="utf-8") == content:
        return
    make_directory(path.parent)
    with replacing(path) as partial:
        partial.write_text(content, encoding="utf-8")
        partial.chmod(0o755)
