"""The files below a watched directory: how they are listed, and how one is known again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


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


def scan(directory: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """What is no folder below `directory`, by its path relative to it; nothing is looked at but names.

    Names that begin with a dot, and folders of such names, are left out.
    """
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            entries = list(os.scandir(directory / folder))
        except OSError:
            if not folder:
                raise
            continue  # a folder that went away while its parent was listed, or that is not open to us
        for entry in entries:
            if entry.name.startswith("."):
                continue
            name = f"{folder}{entry.name}"
            try:
                is_folder = entry.is_dir(follow_symlinks=False)
            except OSError:
                continue  # went away after it was listed
            if is_folder:
                folders.append(f"{name}/")
            else:
                yield name, entry


def look_at(name: str, entry: os.DirEntry[str]) -> WatchedFile | None:
    """The regular file that `scan` gave, or that its link leads to; None if it is none."""
    try:
        if not entry.is_file():
            return None
        status = entry.stat()
    except OSError:
        return None  # went away after it was listed, or a link that leads nowhere
    return WatchedFile(name, status.st_size, status.st_mtime_ns, status.st_ino)


def list_files(directory: Path) -> Iterator[WatchedFile]:
    """The regular files below `directory`."""
    return (file for name, entry in scan(directory) if (file := look_at(name, entry)))


def parent_of(name: str) -> str | None:
    """The folder that the file `name` lies in directly; None for a file that lies in the watched directory itself."""
    parts = name.split("/")
    return parts[-2] if len(parts) > 1 else None
