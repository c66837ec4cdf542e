"""Files below a watched directory, and recognition of changed files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sparkdl.system.directory_walk import OnLeftOut, pass_over, stat_regular, walk


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


def stat_file(name: str, entry: os.DirEntry[str], on_left_out: OnLeftOut = pass_over) -> WatchedFile | None:
    """Return the regular file at an entry of `walk`, or at the target of its link; None if there is none.

    A file whose status cannot be read is left out, unless it was removed in the meantime.
    """
    status = stat_regular(name, entry, on_left_out)
    return None if status is None else WatchedFile(name, status.st_size, status.st_mtime_ns, status.st_ino)


def list_files(directory: Path) -> Iterator[WatchedFile]:
    """Return the regular files below `directory`."""
    return (file for name, entry in walk(directory) if (file := stat_file(name, entry)))


def parent_of(name: str) -> str | None:
    """Return the name of the folder that contains the file `name`; None directly in the watched directory."""
    parts = name.split("/")
    return parts[-2] if len(parts) > 1 else None
