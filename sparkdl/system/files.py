"""Atomic writing of files, and safe reading of untrusted files."""

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
    """Yield a path in the same folder to write a file to, which replaces `path` when the block ends.

    If the block raises an error, `path` is not changed and the partial file is removed.

    Parameters
    ----------
    path
        The file to replace; its directory must exist.
    partial
        The name of the partial file, if it must be found again after a kill. By default it is hidden, unique, and ends
        like `path`.
    """
    beside = path.with_name(partial or _partial_name(path))
    if partial is not None:
        beside.unlink(missing_ok=True)  # the file of a killed process, or a link that another user created
    try:
        yield beside
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, content: bytes | str, *, sync: bool = False, partial: str | None = None) -> None:
    """Write a file atomically and replace an existing one.

    Parameters
    ----------
    content
        Text is encoded as UTF-8.
    sync
        Whether to flush the content to the disk before the rename, so that it survives a power failure.
    partial
        As for `replacing`.
    """
    with replacing(path, partial=partial) as beside:
        _write_new(beside, content, sync=sync)


def create_atomically(path: Path, content: bytes | str) -> bool:
    """Write a file atomically unless the name is taken; return whether it was free.

    If several processes do so at once, one gets the name. On a file system without hard links the file is empty for a
    moment.
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
    suffix = path.suffix if len(path.suffix) < _MAX_SUFFIX else ""  # a name may be too long
    return f".{uuid4().hex}{suffix}"


def _write_new(path: Path, content: bytes | str, *, sync: bool = False) -> None:
    with path.open("xb") as file:  # never through a link that another user created
        file.write(content.encode() if isinstance(content, str) else content)
        if sync:
            file.flush()
            os.fsync(file.fileno())


class NotRegularError(OSError):
    """The path does not lead to a regular file."""


@contextmanager
def open_regular(path: str | os.PathLike[str], flags: int = 0, directory: int | None = None) -> Iterator[io.FileIO]:
    """Open an untrusted regular file, unbuffered, without waiting for a FIFO or a device.

    Parameters
    ----------
    path
        The file's path; relative to `directory`, a descriptor, if that is given.
    flags
        Additional flags of `os.open`, such as `os.O_NOFOLLOW` to refuse a link.

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
            raise NotRegularError(errno.EINVAL, "it is not a regular file", os.fspath(path))
        yield opened


def check_readable(path: str | os.PathLike[str]) -> None:
    """Raise a PermissionError if this process may not read a file; the file is not opened."""
    if not os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))


def read_beginning(path: str | os.PathLike[str], max_bytes: int) -> tuple[bytes | None, int | None]:
    """Return at most `max_bytes + 1` bytes of a regular file and its size in bytes; None for both if it cannot be read.

    `path` may have been replaced since it was listed: by a device, a FIFO without a writer, a link to itself, or a file
    of the kernel with size 0. None of these blocks, and never more bytes are read than the size of the file.

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
        return None, None  # becomes a dead letter: a retry cannot help


def _read(opened: io.FileIO, count: int) -> bytes:
    content = opened.read(count) or b""
    while len(content) < count and (more := opened.read(count - len(content))):
        content += more  # after a read of more than 2 GiB, or one that a signal interrupted
    return content
