"""The cache directory: jars, networks and Java's class archive, which all run in this process or in one of its own."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path
from tempfile import TemporaryDirectory

import platformdirs

from sparkdl.errors import RequestError, SparkdlError

CACHE_VARIABLE = "SPARKDL_CACHE_DIR"
_ANOTHER = f"set {CACHE_VARIABLE} to a directory that you alone can write to"


def cache_directory(part: str) -> Path:
    """Return the directory of one kind of content in the cache, which may not exist yet.

    The cache is the directory that `SPARKDL_CACHE_DIR` names, or the user's cache directory. What lies in it is used as
    if this program had made it, so nobody else may be able to put something there.

    Raises
    ------
    RequestError
        If another user, root excepted, can write to it or exchange a directory on the way to it.
    """
    # Without links: one on the way that somebody else owns could lead elsewhere after this check.
    named = os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_path("sparkdl-streaming")
    directory = Path(named).absolute().resolve() / part
    for inner in (*reversed(directory.parents), directory):
        try:
            status = inner.lstat()
        except OSError:  # the rest of the way is made when something is written
            break
        if fault := _fault(status):
            raise RequestError(f"the cache {directory.parent} is refused: {inner} {fault}; {_ANOTHER}")
    return directory


def is_owned(path: Path) -> bool:
    """Return whether a file is a regular one that nobody but this user and root can write to."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and _fault(status) is None


def make_directory(directory: Path) -> None:
    """Make a directory of the cache, and those on the way to it, for this user alone."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file of the cache, whole or not at all."""
    try:
        make_directory(path.parent)
        # Beside its place, so that it can be renamed, and gone if it cannot be.
        with TemporaryDirectory(dir=path.parent, prefix=".") as directory:
            partial = Path(directory) / path.name
            partial.write_bytes(content)
            partial.replace(path)
    except OSError as error:
        raise SparkdlError(f"{path} cannot be written ({error}): set {CACHE_VARIABLE} to another directory") from error


def _fault(status: os.stat_result) -> str | None:
    """Return why something is not for this user and root alone to write to, None if it is."""
    if status.st_uid not in {0, os.getuid()}:
        return f"belongs to the user {_name_of(status.st_uid)}"
    if stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX:
        return None  # as /tmp: others can add to it, and exchange nothing that is not theirs
    if status.st_mode & stat.S_IWOTH:
        return "can be written by everybody"
    if status.st_mode & stat.S_IWGRP and not _is_group_of_one(status.st_gid):
        return f"can be written by the group {status.st_gid}"
    return None


def _is_group_of_one(group: int) -> bool:
    """Return whether a group is this user's own, as many systems make one for each user and let it write by default."""
    try:
        user, entry = pwd.getpwuid(os.getuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return entry.gr_name == user.pw_name and set(entry.gr_mem) <= {user.pw_name}


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
