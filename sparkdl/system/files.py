"""Files: written whole or not at all, and read with care where they come from outside."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

_EXHAUSTION = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN}
)
"""Errors of the machine, not of one file: too few descriptors, too little memory, a file server that is away."""
_MAX_SUFFIX = 16  # characters
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


@contextmanager
def replacing(path: Path, *, partial: str | None = None) -> Iterator[Path]:
    """Yield a path beside `path` to write a file to, which replaces `path` when the block ends.

    If the block raises, `path` stays as it is, and the partial file is removed.

    Parameters
    ----------
    path
        The file to replace; its directory exists.
    partial
        The name of the partial file, for one that is to be found again after a kill. By default it is hidden, unique,
        and ends as `path` does.
    """
    beside = path.with_name(partial or _partial_name(path))
    if partial is not None:
        beside.unlink(missing_ok=True)  # the file of a process that was killed, or a link that somebody has put there
    try:
        yield beside
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, content: bytes | str, *, sync: bool = False, partial: str | None = None) -> None:
    """Write a file that is there whole or not at all, replacing one of that name.

    Parameters
    ----------
    content
        Text is encoded as UTF-8.
    sync
        Whether the content reaches the disk before the name does, so that it holds after a loss of power.
    partial
        As for `replacing`.
    """
    with replacing(path, partial=partial) as beside:
        _write_new(beside, content, sync=sync)


def create_atomically(path: Path, content: bytes | str) -> bool:
    """Write a file that is there whole or not at all, unless the name is taken; return whether it was free.

    Of several processes that do so at once, one gets the name. On a file system without hard links the file is empty
    for a moment.
    """
    beside = path.with_name(_partial_name(path))
    try:
        _write_new(beside, content)
        try:
            os.link(beside, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            try:
                path.open("xb").close()
            except FileExistsError:
                return False
            beside.replace(path)
        return True
    finally:
        beside.unlink(missing_ok=True)


def _partial_name(path: Path) -> str:
    suffix = path.suffix if len(path.suffix) < _MAX_SUFFIX else ""  # a name may be as long as the file system allows
    return f".{uuid4().hex}{suffix}"


def _write_new(path: Path, content: bytes | str, *, sync: bool = False) -> None:
    with path.open("xb") as file:  # never through a link that somebody has put there
        file.write(content.encode() if isinstance(content, str) else content)
        if sync:
            file.flush()
            os.fsync(file.fileno())


class NotRegularError(OSError):
    """The path is not that of a regular file."""


@contextmanager
def open_regular(path: str | os.PathLike[str], flags: int = 0, directory: int | None = None) -> Iterator[io.FileIO]:
    """Open a regular file that somebody else may have put there, unbuffered, without waiting for a FIFO or a device.

    Parameters
    ----------
    path
        The file's path; relative to `directory`, a descriptor, if that is given.
    flags
        Further flags of `os.open`: `os.O_NOFOLLOW` where a link is refused.

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


def check_readable(path: str | os.PathLike[str]) -> None:
    """Raise a PermissionError if this process may not read a file; it is not opened."""
    if not os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))


def read_beginning(path: str | os.PathLike[str], max_bytes: int) -> tuple[bytes | None, int | None]:
    """Return at most `max_bytes + 1` bytes of a regular file and its size in bytes; None for both if it cannot be read.

    Since it was listed, `path` may have become anything: a device, a FIFO that nobody writes to, a link to itself or to
    a file of the kernel whose size is 0. None of these blocks, and no more is read of a file than its size.

    Raises
    ------
    OSError
        If this process or machine lacks a resource, so that a retry may help.
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
