"""The files below a watched directory: how they are listed, and how one is known again."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

OnError = Callable[[str, OSError], None]
"""Is told of a folder or file that is there and cannot be listed: its path relative to the directory, and why."""

_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""A file that was removed after it was listed, or a link that leads to none."""


def ignore(name: str, error: OSError) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class WatchedFile:
    """A file as it was when it was listed: its path relative to the directory, bytes, time of change, inode."""

    name: str
    size: int
    modified_ns: int
    inode: int = 0

    def is_same(self, status: os.stat_result) -> bool:
        """Whether what lies there at present is the file that was listed.

        A program that copies a file with its times sets them last, to the past. That is told from another file that
        took the place of this one by the inode; only then, since not every file system keeps inodes.
        """
        back = status.st_mtime_ns < self.modified_ns and status.st_ino == self.inode
        return status.st_size == self.size and (status.st_mtime_ns == self.modified_ns or back)


def scan(directory: Path, on_error: OnError = ignore) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield every entry below `directory` that is not a folder, with its path relative to it; only names are read.

    Names that begin with a dot, and folders of such names, are left out. A folder that cannot be listed is passed over
    and reported to `on_error`, unless it was removed in the meantime.

    Raises
    ------
    OSError
        If `directory` itself cannot be listed.
    """
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            entries = list(os.scandir(directory / folder))
        except OSError as error:
            if not folder:
                raise
            if error.errno not in _NOWHERE:
                on_error(folder, error)
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            name = f"{folder}{entry.name}"
            try:
                is_folder = entry.is_dir(follow_symlinks=False)
            except OSError as error:
                if error.errno not in _NOWHERE:
                    on_error(name, error)
                continue
            if is_folder:
                folders.append(f"{name}/")
            else:
                yield name, entry


def stat_file(name: str, entry: os.DirEntry[str], on_error: OnError = ignore) -> WatchedFile | None:
    """Return the regular file that `scan` gave, or that its link leads to; None if there is none.

    A file whose status cannot be read is reported to `on_error`, unless it was removed in the meantime.
    """
    try:
        if not entry.is_file():
            return None
        status = entry.stat()
    except OSError as error:
        if error.errno not in _NOWHERE:
            on_error(name, error)
        return None
    return WatchedFile(name, status.st_size, status.st_mtime_ns, status.st_ino)


def list_files(directory: Path) -> Iterator[WatchedFile]:
    """The regular files below `directory`."""
    return (file for name, entry in scan(directory) if (file := stat_file(name, entry)))


def parent_of(name: str) -> str | None:
    """The folder that the file `name` lies in directly; None for a file that lies in the watched directory itself."""
    parts = name.split("/")
    return parts[-2] if len(parts) > 1 else None
