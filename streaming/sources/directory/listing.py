"""Listing of the files below a watched directory, and recognition of changed files."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

OnError = Callable[[str, OSError], None]
"""Receives an existing folder or file that cannot be listed: its path relative to the directory, and the error."""

_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""Errors of a file that was removed after it was listed, or of a broken link."""


def ignore(name: str, error: OSError) -> None:
    """Ignore the error."""


@dataclass(frozen=True)
class WatchedFile:
    """A file as listed: path relative to the directory, size in bytes, modification time, inode."""

    name: str
    size: int
    modified_ns: int
    inode: int = 0

    def is_same(self, status: os.stat_result) -> bool:
        """Whether the file with this status is the one that was listed.

        A program that copies a file with its times sets the times last, to the past. The inode tells this from another
        file in the same place. Inodes are compared in that case only, because not every file system keeps them.
        """
        back = status.st_mtime_ns < self.modified_ns and status.st_ino == self.inode
        return status.st_size == self.size and (status.st_mtime_ns == self.modified_ns or back)


def scan(directory: Path, on_error: OnError = ignore) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield every entry below `directory` that is not a folder, with its relative path; reads names only.

    Files and folders whose names begin with a dot are left out. A folder that cannot be listed is skipped and reported
    to `on_error`, unless it was removed in the meantime.

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
    """Return the regular file at an entry of `scan`, or at the target of its link; None if there is none.

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
    """Return the regular files below `directory`."""
    return (file for name, entry in scan(directory) if (file := stat_file(name, entry)))


def parent_of(name: str) -> str | None:
    """Return the name of the folder that contains the file `name`; None directly in the watched directory."""
    parts = name.split("/")
    return parts[-2] if len(parts) > 1 else None
