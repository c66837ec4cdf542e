"""The walk through a directory that all commands use: its files without the ignored ones."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from sparkdl.system.ignored_names import IgnoredNames
from sparkdl.system.left_out import Why

OnLeftOut = Callable[[Why, str, OSError | None], None]
"""Receives a file or folder that is left out: why, its relative path (a folder has a trailing slash), the error."""

NO_PATTERNS = IgnoredNames()

_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""The error numbers for a file that was removed after it was listed, or for a broken link."""


def pass_over(why: Why, name: str, error: OSError | None) -> None:
    """Ignore a file or folder that is left out."""


def walk(
    directory: Path, ignored: IgnoredNames = NO_PATTERNS, on_left_out: OnLeftOut = pass_over, *, below: str = ""
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield every entry below `directory` that is not a folder, with its relative path; reads names only.

    Files and folders with ignored names are left out, folders with all their content. A folder that cannot be listed is
    left out too, unless it was removed in the meantime. A link to a folder is not followed.

    Parameters
    ----------
    below
        The folder of `directory` to begin at, with a trailing slash. Paths are still relative to `directory`.

    Raises
    ------
    OSError
        If `directory` itself cannot be listed.
    """
    folders, reason = [below], ignored.reason
    while folders:
        folder = folders.pop()
        try:
            entries = list(os.scandir(directory / folder))
        except OSError as error:
            if not folder:
                raise
            if error.errno not in _NOWHERE:
                on_left_out(Why.UNREADABLE, folder, error)
            continue
        for entry in entries:
            name = f"{folder}{entry.name}"
            try:
                is_folder = entry.is_dir(follow_symlinks=False)
            except OSError as error:
                if error.errno not in _NOWHERE:
                    on_left_out(Why.UNREADABLE, name, error)
                continue
            if why := reason(folder, entry.name, is_folder):
                on_left_out(why, f"{name}/" if is_folder else name, None)
            elif is_folder:
                folders.append(f"{name}/")
            else:
                yield name, entry


def stat_regular(name: str, entry: os.DirEntry[str], on_left_out: OnLeftOut = pass_over) -> os.stat_result | None:
    """Return the status of the regular file at an entry of `walk`, or at the target of its link; None if there is none.

    A file whose status cannot be read, and anything that is not a file, is left out, unless removed in the meantime.
    """
    try:
        status = entry.stat()
    except OSError as error:
        if error.errno not in _NOWHERE:
            on_left_out(Why.UNREADABLE, name, error)
        return None
    if stat.S_ISREG(status.st_mode):
        return status
    on_left_out(Why.NOT_REGULAR, f"{name}/" if stat.S_ISDIR(status.st_mode) else name, None)
    return None
