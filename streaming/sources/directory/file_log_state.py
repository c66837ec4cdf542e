"""The state of a file log: which names were read, in memory and without any I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

RETAINED = 100
"""Logs between two snapshots, and logs that are kept: as many as Spark keeps micro-batches."""

FORGET_AFTER = 7 * 86_400.0
"""Seconds for which a name must have been absent before it is forgotten. A share that cannot be listed for a while must
not have all its files read again when it is back: a week is longer than a weekend, and bounds what is kept."""


class Snapshot(NamedTuple):
    """The names of the logs up to `logs`, and since when (seconds since 1970) names have been absent."""

    logs: int
    names: set[str]
    absent: dict[str, float]

    @classmethod
    def of(cls, value: Any) -> Snapshot:
        """Return what the JSON of `to_json` says."""
        return cls(int(value["logs"]), set(value["names"]), dict(value["absent"]))

    def to_json(self) -> dict[str, Any]:
        return {"logs": self.logs, "names": list(self.names), "absent": self.absent}


class CleanupMark(NamedTuple):
    """Up to which log files were archived or deleted, and the names `left` in place since the snapshot of `after`."""

    logs: int
    after: int
    left: set[str]

    @classmethod
    def of(cls, value: Any) -> CleanupMark:
        """Return what the JSON of `to_json` says."""
        return cls(int(value["logs"]), int(value["after"]), set(value["left"]))

    def to_json(self) -> dict[str, Any]:
        return {"logs": self.logs, "after": self.after, "left": list(self.left)}


@dataclass
class FileLogState:
    """What was read, as the files of a log say together.

    The names are those of the snapshot, those that the mark says were left, and those of all logs after both. Each
    transition is to be applied after the file that records it was written.

    Attributes
    ----------
    last
        The number of the last log, 0 if there is none.
    covered
        Up to which log the snapshot has the names.
    done
        Up to which log files were archived or deleted; None if they are kept.
    names
        That are not to be read again.
    absent
        Since when (seconds since 1970) a name has not been listed.
    left
        Names of files that cleanup left in place since the snapshot.
    """

    last: int = 0
    covered: int = 0
    done: int | None = None
    names: set[str] = field(default_factory=set)
    absent: dict[str, float] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)

    @classmethod
    def restore(cls, snapshot: Snapshot | None, mark: CleanupMark | None) -> FileLogState:
        """Return the state before the logs after `begin` are appended again."""
        state = cls()
        if snapshot:
            state.last = state.covered = snapshot.logs
            state.names, state.absent = set(snapshot.names), dict(snapshot.absent)
        if mark:
            state.done, state.last = mark.logs, max(state.last, mark.logs)
            if mark.after == state.covered:  # else the snapshot is newer and has them
                state.left = set(mark.left)
                state.names |= mark.left
        return state

    @property
    def complete(self) -> int:
        """Up to which log nothing more will happen to the files."""
        return self.last if self.done is None else self.done

    @property
    def needs_snapshot(self) -> bool:
        """Whether enough logs were appended since the last snapshot."""
        return self.complete - self.covered >= RETAINED

    def append(self, number: int, names: Iterable[str]) -> None:
        """Log `number` has these names."""
        self.last = number
        self.names.update(names)

    def clean_up(self, last: int, gone: Iterable[str], left: Iterable[str]) -> None:
        """The files of the logs up to `last` were cleaned up: names `gone` are forgotten, names `left` are not."""
        self.names.difference_update(gone)
        self.left.update(left)
        self.done = last

    def list_again(self, listed: set[str]) -> None:
        """The directory has the names `listed`: none of them is absent."""
        for name in self.absent.keys() & listed:
            del self.absent[name]

    def forget(self, listed: set[str], now: float) -> None:
        """Forget the names that have not been `listed` for long; the others that are missing begin to be absent."""
        self.absent = {name: min(self.absent.get(name, now), now) for name in self.names - listed}
        forgotten = {name for name, since in self.absent.items() if now - since >= FORGET_AFTER}
        self.names -= forgotten
        for name in forgotten:
            del self.absent[name]

    def snapshot(self, logs: int, later: set[str]) -> Snapshot:
        """Return the snapshot of the logs up to `logs`; `later`: the names of the logs after it."""
        return Snapshot(logs, self.names - later, self.absent)

    def cover(self, logs: int) -> None:
        """The snapshot of the logs up to `logs` was written."""
        self.covered, self.left = logs, set()

    def mark(self, logs: int, left: Iterable[str]) -> CleanupMark:
        """Return the mark for a cleanup of the logs up to `logs` that leaves the names `left`."""
        return CleanupMark(logs, self.covered, self.left.union(left))
