"""Files from outside, read by workers: never more of them than is admitted."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote, unquote_to_bytes

_SCHEME = "file:"
_EXHAUSTION = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN}
)
"""Errors that are not of the one file: too few descriptors, too little memory, a file server that is away."""


def origin_of(path: str | os.PathLike[str]) -> str:
    """A URI that leads to the file whatever bytes its name has."""
    return f"{_SCHEME}{quote(os.fsencode(path))}"


def path_of(origin: str) -> str:
    """The path that `origin_of` was given."""
    return os.fsdecode(unquote_to_bytes(origin.removeprefix(_SCHEME)))


class NotRegularError(OSError):
    """What lies at a path is no regular file."""


@contextmanager
def open_regular(path: str | os.PathLike[str], flags: int = 0, directory: int | None = None) -> Iterator[io.FileIO]:
    """Open a regular file that somebody else may have put there, unbuffered: no FIFO and no device is waited for.

    Parameters
    ----------
    path
        Of the file; relative to `directory`, a descriptor, if that is given.
    flags
        More of `os.open`: `os.O_NOFOLLOW` where a link is refused.

    Raises
    ------
    NotRegularError
        If it is something else.
    OSError
        If it cannot be opened.
    """
    flags |= os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    with io.FileIO(os.open(path, flags, dir_fd=directory)) as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise NotRegularError(errno.EINVAL, "it is no regular file", os.fspath(path))
        yield opened


def read_beginning(path: str | os.PathLike[str], max_bytes: int) -> tuple[bytes | None, int | None]:
    """At most `max_bytes + 1` bytes of a regular file, and its size in bytes; None for both if there is nothing to be
    read.

    What lies at `path` may have become anything since it was listed: a device, a FIFO that nobody writes to, a link to
    itself or to a file of the kernel's whose size is 0. None of these is waited for, and no more is read of a file than
    it has bytes.

    Raises
    ------
    OSError
        If this process or machine lacks what it takes to read any file, so that to try again may help.
    """
    try:
        with open_regular(path) as opened:
            size = os.fstat(opened.fileno()).st_size
            return _read(opened, min(max_bytes + 1, size)), size
    except OSError as error:
        if error.errno in _EXHAUSTION:
            raise
        return None, None  # a dead letter: there is nothing that could be tried again


def _read(opened: io.FileIO, count: int) -> bytes:
    content = opened.read(count) or b""
    while len(content) < count and (more := opened.read(count - len(content))):
        content += more  # a read of more than 2 GiB, or one that a signal cut short
    return content
