"""What was taken from a watched directory: the files of each micro-batch, and the names that were seen.

All of it lies in one directory of the checkpoint, in files that are written whole or not at all:

- `N.json`, log N: the files that were taken together, numbered from 1. A log is written before its micro-batch is
  planned; one without a micro-batch (the process died between the two) becomes the next micro-batch as it is.
- `seen.json`: the names of the logs up to a number. So older logs need neither be read nor kept.
- `done.json`, if files are archived or deleted after they were read: up to which log that was done.

The names that were seen are those of `seen.json`, those that `done.json` says were left, and those of all logs after
both numbers. That holds between any two writes, so a process may die at any point.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sparkdl.errors import SparkdlError
from streaming.checkpoint_files import FAULTS, LARGEST, checked_name, parse, read_entry, write_entry
from streaming.sources.directory.listing import WatchedFile

RETAINED = 100
"""Logs between two writings of `seen.json`, and logs that are kept: as many as Spark keeps micro-batches."""
FORGET_AFTER = 7 * 86_400.0
"""Seconds for which a name must have been away before it is forgotten. A share that cannot be listed for a while must
not have all its files read again when it is back: a week is longer than a weekend, and bounds what is kept."""

FILES = "files"
"""The directory of a checkpoint that the progress lies in."""

_SEEN, _DONE = "seen.json", "done.json"
_T = TypeVar("_T")


class FileLog:
    """The files of each micro-batch, a JSON file each, never changed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def last(self) -> int:
        """The number of the last log, 0 if there is none."""
        return max(self._numbers(), default=0)

    def append(self, files: Sequence[WatchedFile]) -> int:
        """Writes the next log and returns its number."""
        number = self.last + 1
        _write(self._path(number), [[f.name, f.size, f.modified_ns, f.inode] for f in files])
        return number

    def read(self, number: int) -> list[WatchedFile]:
        """The files of log `number`."""
        return _read(self._path(number), _files)

    def drop(self, last: int) -> None:
        """Removes the logs up to `last`."""
        for number in self._numbers():
            if number <= last:
                self._path(number).unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self.directory / f"{number}.json"

    def _numbers(self) -> list[int]:
        return [int(path.stem) for path in self.directory.glob("*.json") if path.stem.isdecimal()]


class Seen:
    """The names that are not to be taken again.

    Parameters
    ----------
    directory
        Where the progress lies; made at the first writing.

    Raises
    ------
    SparkdlError
        If a file of it is damaged or missing.
    """

    def __init__(self, directory: Path) -> None:
        self.log = FileLog(directory)
        self._snapshot, self._mark = directory / _SEEN, directory / _DONE
        for leftover in directory.glob(".*.json.*"):
            leftover.unlink(missing_ok=True)
        self._covered, self._names, self._absent = 0, set[str](), dict[str, float]()
        self._done: int | None = None
        self._left: set[str] = set()
        if self._snapshot.exists():
            self._covered, self._names, self._absent = _read(
                self._snapshot, lambda value: (int(value["logs"]), set(value["names"]), dict(value["absent"]))
            )
        begin = self._covered
        if self._mark.exists():
            self._done, after, left = _read(
                self._mark, lambda value: (int(value["logs"]), int(value["after"]), set(value["left"]))
            )
            begin = max(begin, self._done)
            if after == self._covered:  # else `seen.json` was written later and has them
                self._left = left
                self._names |= left
        self._names |= self._names_after(begin)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    @property
    def done(self) -> int | None:
        """Up to which log files were archived or deleted; None if they are kept."""
        return self._done

    def take(self, files: Sequence[WatchedFile]) -> int:
        """Writes `files` to a log of their own, whose number it returns, and has seen them."""
        number = self.log.append(files)
        self._names.update(file.name for file in files)
        return number

    def begin_removing(self, complete: int) -> None:
        """From here on files are removed after they were read; those of logs up to `complete` stay, and stay seen."""
        if self._done is None:
            self._write_snapshot(complete)
            self._write_mark(complete)

    def end_removing(self) -> None:
        """From here on files are kept."""
        if self._done is not None:
            self._done = None
            self._write_snapshot(self.log.last)
            self._mark.unlink()

    def removed(self, last: int, gone: Iterable[str], left: Iterable[str]) -> None:
        """The files of the logs up to `last` were removed: the names `gone` are forgotten, the names `left` are not."""
        self._names.difference_update(gone)
        self._left.update(left)
        self._write_mark(last)

    @property
    def _complete(self) -> int:
        return self.log.last if self._done is None else self._done

    @property
    def wants_names(self) -> bool:
        """Whether it is time to `compact`."""
        return self._complete - self._covered >= RETAINED

    def compact(self, listed: set[str], now: float) -> None:
        """Now and then writes the names down, forgets those long absent, and removes logs that are needed no more.

        Parameters
        ----------
        listed
            The names that the directory has, each time that it is listed; it is to be when `wants_names`.
        now
            Seconds since 1970.
        """
        for name in self._absent.keys() & listed:
            del self._absent[name]
        if not self.wants_names:
            return
        complete = self._complete
        self._absent = {name: min(self._absent.get(name, now), now) for name in self._names - listed}
        forgotten = {name for name, since in self._absent.items() if now - since >= FORGET_AFTER}
        self._names -= forgotten
        for name in forgotten:
            del self._absent[name]
        self._write_snapshot(complete)
        self.log.drop(complete - RETAINED)

    def _names_after(self, number: int) -> set[str]:
        return {file.name for later in range(number + 1, self.log.last + 1) for file in self.log.read(later)}

    def _write_snapshot(self, logs: int) -> None:
        names = self._names - self._names_after(logs)
        _write(self._snapshot, {"logs": logs, "names": list(names), "absent": self._absent})
        self._covered, self._left = logs, set()

    def _write_mark(self, logs: int) -> None:
        _write(self._mark, {"logs": logs, "after": self._covered, "left": list(self._left)})
        self._done = logs


def _files(value: Any) -> list[WatchedFile]:
    if not isinstance(value, list):
        raise TypeError("expected a list of files")
    return [
        WatchedFile(checked_name(name), int(size), int(modified_ns), int(inode))
        for name, size, modified_ns, inode in value
    ]


def _read(path: Path, make: Callable[[Any], _T]) -> _T:
    try:
        return make(parse(read_entry(path, LARGEST)))
    except FAULTS as error:
        raise damaged(path, str(error)) from error


def damaged(path: Path, why: str) -> SparkdlError:
    """The error for a file or directory of a checkpoint that does not say what it should."""
    return SparkdlError(
        f"the checkpoint is damaged at {path} ({why}): put it back from a copy, or start again with a new checkpoint "
        "and a new sink"
    )


def _write(path: Path, value: object) -> None:
    """Writes a JSON file so that it is there as a whole or not at all, also after a loss of power."""
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True)
        _sync(path.parent.parent)
    write_entry(path, json.dumps(value), partial=f".{path.name}.{os.getpid()}")
    _sync(path.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a network file system that does not have it
            raise
    finally:
        os.close(descriptor)
