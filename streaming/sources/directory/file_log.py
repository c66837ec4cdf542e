"""The log of a watched directory on disk: the files of each micro-batch, and the names that were read.

The log is one directory of the checkpoint, whose files are written atomically:

- `N.json`, log N: the files that are read together, numbered from 1. A log is written before its micro-batch is
  planned. A log without a micro-batch (the process died in between) becomes the next micro-batch unchanged.
- `seen.json`: a snapshot of the names up to a log. Older logs need neither be read nor kept.
- `done.json`, if files are archived or deleted after they were read: the last log for which that was done.

`FileLogState` is their combined state. It is valid between any two writes, so a process may die at any point.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sparkdl.errors import SparkdlError
from sparkdl.system.files import write_atomically
from streaming.checkpoint_files import FAULTS, LARGEST, checked_name, parse, read_entry
from streaming.sources.directory.file_log_state import RETAINED, CleanupMark, FileLogState, Snapshot
from streaming.sources.directory.listing import WatchedFile

FILES = "files"
"""The directory of a checkpoint that holds the log."""

_SNAPSHOT, _MARK = "seen.json", "done.json"
_T = TypeVar("_T")


class FileLog:
    """The log in a directory. It contains each appended name until its file was cleaned up or has long been absent.

    Parameters
    ----------
    directory
        Created at the first write.

    Raises
    ------
    SparkdlError
        If a file of the log is damaged or missing.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._snapshot, self._mark = directory / _SNAPSHOT, directory / _MARK
        for leftover in directory.glob(".*.json.*"):
            leftover.unlink(missing_ok=True)
        snapshot = _read(self._snapshot, Snapshot.of) if self._snapshot.exists() else None
        mark = _read(self._mark, CleanupMark.of) if self._mark.exists() else None
        self._state = FileLogState.restore(snapshot, mark)
        for number in range(self._state.last + 1, max(self._numbers(), default=0) + 1):
            self._state.append(number, _names(self.read(number)))

    def __contains__(self, name: str) -> bool:
        return name in self._state.names

    @property
    def last(self) -> int:
        """The number of the last log, 0 if there is none."""
        return self._state.last

    @property
    def done(self) -> int | None:
        """The last log whose files were archived or deleted; None if files are kept."""
        return self._state.done

    def append(self, files: Sequence[WatchedFile]) -> int:
        """Write the next log, and return its number."""
        number = self._state.last + 1
        _write(self._path(number), [[f.name, f.size, f.modified_ns, f.inode] for f in files])
        self._state.append(number, _names(files))
        return number

    def read(self, number: int) -> list[WatchedFile]:
        """Return the files of log `number`."""
        return _read(self._path(number), _files)

    def begin_cleanup(self, complete: int) -> None:
        """Switch cleanup on: from now on files are cleaned up after they were read, except logs up to `complete`."""
        if self._state.done is None:
            self._write_snapshot(complete)
            self.record_cleanup(complete, (), ())

    def end_cleanup(self) -> None:
        """Switch cleanup off: files are kept from now on."""
        if self._state.done is not None:
            self._write_snapshot(self._state.last)
            self._mark.unlink()
            self._state.done = None

    def record_cleanup(self, last: int, gone: Collection[str], left: Collection[str]) -> None:
        """Record the cleanup of the logs up to `last`: files `gone` were removed, files `left` were not."""
        _write(self._mark, self._state.mark(last, left).to_json())
        self._state.clean_up(last, gone, left)

    @property
    def needs_compaction(self) -> bool:
        """Whether `compact` needs a new listing of the directory."""
        return self._state.needs_snapshot

    def compact(self, listed: set[str], now: float, is_ignored: Callable[[str], bool] = lambda _: False) -> None:
        """If enough logs have accumulated, write a snapshot, forget long-absent names and remove old logs.

        Parameters
        ----------
        listed
            The names in the directory. Call `compact` after each listing, and list the directory again if
            `needs_compaction`.
        now
            Seconds since 1970.
        is_ignored
            Whether a name is never listed. It is not forgotten: it would be read again once it is no longer ignored.
        """
        self._state.list_again(listed)
        if not self._state.needs_snapshot:
            return
        self._state.forget(listed | {name for name in self._state.names - listed if is_ignored(name)}, now)
        complete = self._state.complete
        self._write_snapshot(complete)
        for number in self._numbers():
            if number <= complete - RETAINED:
                self._path(number).unlink(missing_ok=True)

    def _write_snapshot(self, logs: int) -> None:
        later = {name for number in range(logs + 1, self._state.last + 1) for name in _names(self.read(number))}
        _write(self._snapshot, self._state.snapshot(logs, later).to_json())
        self._state.cover(logs)

    def _path(self, number: int) -> Path:
        return self.directory / f"{number}.json"

    def _numbers(self) -> list[int]:
        return [int(path.stem) for path in self.directory.glob("*.json") if path.stem.isdecimal()]


def _names(files: Iterable[WatchedFile]) -> list[str]:
    return [file.name for file in files]


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
    """Return the error for a damaged file or directory of a checkpoint."""
    return SparkdlError(
        f"the checkpoint is damaged at {path} ({why}): restore it from a copy, or start again with a new checkpoint "
        "and a new sink"
    )


def make_directory(directory: Path) -> None:
    """Make the directory of a log if it is missing; even after a power failure it is there."""
    if not directory.is_dir():
        directory.mkdir(parents=True)
        _sync(directory.parent)


def _write(path: Path, value: object) -> None:
    """Write a JSON file atomically; even after a power failure it is complete or absent."""
    make_directory(path.parent)
    write_atomically(path, json.dumps(value), partial=f".{path.name}.{os.getpid()}", sync=True)
    _sync(path.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # not supported by some network file systems
            raise
    finally:
        os.close(descriptor)
