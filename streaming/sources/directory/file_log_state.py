"""The state of a file log in memory: the names of the files that were read; performs no I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

RETAINED = 100
"""Logs between two snapshots, and logs to keep: as many as Spark keeps micro-batches."""

FORGET_AFTER = 7 * 86_400.0
"""Seconds of absence after which a name is forgotten. When a network share returns after an outage, its files must not
be read again: a week is longer than a weekend, and limits the number of names."""


class Snapshot(NamedTuple):
    """The names in the logs up to `logs`, and for absent names the time of their absence (seconds since 1970)."""

    logs: int
    names: set[str]
    absent: dict[str, float]

    @classmethod
    def of(cls, value: Any) -> Snapshot:
        """Return the snapshot in a JSON value of `to_json`."""
        return cls(int(value["logs"]), set(value["names"]), dict(value["absent"]))

    def to_json(self) -> dict[str, Any]:
        return {"logs": self.logs, "names": list(self.names), "absent": self.absent}


class CleanupMark(NamedTuple):
    """The last log with cleaned-up files, and the names `left` in place since the snapshot of `after`."""

    logs: int
    after: int
    left: set[str]

    @classmethod
    def of(cls, value: Any) -> CleanupMark:
        """Return the mark in a JSON value of `to_json`."""
        return cls(int(value["logs"]), int(value["after"]), set(value["left"]))

    def to_json(self) -> dict[str, Any]:
        return {"logs": self.logs, "after": self.after, "left": list(self.left)}


@dataclass
class FileLogState:
    """The combined state of the files of a log.

    The names are those in the snapshot, those that the mark lists as left, and those in all logs after both. Apply each
    transition after writing the file that records it.

    Attributes
    ----------
    last
        The number of the last log, 0 if there is none.
    covered
        The last log whose names are in the snapshot.
    done
        The last log whose files were archived or deleted; None if files are kept.
    names
        The names that must not be read again.
    absent
        The time (seconds since 1970) since when a name has not been listed.
    left
        The names of files that cleanup left in place since the snapshot.
    """

    last: int = 0
    covered: int = 0
    done: int | None = None
    names: set[str] = field(default_factory=set)
    absent: dict[str, float] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)

    @classmethod
    def restore(cls, snapshot: Snapshot | None, mark: CleanupMark | None) -> FileLogState:
        """Return the state of a snapshot and a mark, to which the logs after `last` must be appended."""
        state = cls()
        if snapshot:
            state.last = state.covered = snapshot.logs
            state.names, state.absent = set(snapshot.names), dict(snapshot.absent)
        if mark:
            state.done, state.last = mark.logs, max(state.last, mark.logs)
            if mark.after == state.covered:  # otherwise the snapshot is newer and includes them
                state.left = set(mark.left)
                state.names |= mark.left
        return state

    @property
    def complete(self) -> int:
        """The last log whose files need no more cleanup."""
        return self.last if self.done is None else self.done

    @property
    def needs_snapshot(self) -> bool:
        """Whether enough logs are complete since the last snapshot."""
        return self.complete - self.covered >= RETAINED

    def append(self, number: int, names: Iterable[str]) -> None:
        """Add the names of log `number`."""
        self.last = number
        self.names.update(names)

    def clean_up(self, last: int, gone: Iterable[str], left: Iterable[str]) -> None:
        """Mark the files of the logs up to `last` as cleaned up: forget the names `gone`, keep the names `left`."""
        self.names.difference_update(gone)
        self.left.update(left)
        self.done = last

    def list_again(self, listed: set[str]) -> None:
        """Clear the absence of the names `listed`, which are in the directory."""
        for name in self.absent.keys() & listed:
            del self.absent[name]

    def forget(self, listed: set[str], now: float) -> None:
        """Forget names that have been absent for `FORGET_AFTER`; record the absence of others that are not `listed`."""
        self.absent = {name: min(self.absent.get(name, now), now) for name in self.names - listed}
        forgotten = {name for name, since in self.absent.items() if now - since >= FORGET_AFTER}
        self.names -= forgotten
        for name in forgotten:
            del self.absent[name]

    def snapshot(self, logs: int, later: set[str]) -> Snapshot:
        """Return the snapshot of the logs up to `logs`, given the names in `later` logs."""
        return Snapshot(logs, self.names - later, self.absent)

    def cover(self, logs: int) -> None:
        """Record that the snapshot of the logs up to `logs` was written."""
        self.covered, self.left = logs, set()

    def mark(self, logs: int, left: Iterable[str]) -> CleanupMark:
        """Return the mark for a cleanup of the logs up to `logs` that leaves the names `left`."""
        return CleanupMark(logs, self.covered, self.left.union(left))
