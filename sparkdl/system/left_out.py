"""Files and folders left out of a directory: counts by reason, with the first names."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

_NAMES = 3  # names kept and shown
_MAX_NAME = 100  # characters


class Why(StrEnum):
    """Why a file or folder is not read."""

    HIDDEN = "hidden"
    TEMPORARY = "temporary"
    IGNORED = "ignored"
    NOT_IMAGE = "not_image"
    NOT_REGULAR = "not_regular"
    UNREADABLE = "unreadable"
    UNLABELLED = "unlabelled"


_WORDS = {
    Why.HIDDEN: ("hidden name", "hidden names"),
    Why.TEMPORARY: ("temporary or system name", "temporary or system names"),
    Why.IGNORED: ("named by --ignore", "named by --ignore"),
    Why.NOT_IMAGE: ("not an image", "not images"),
    Why.NOT_REGULAR: ("link to a folder, pipe or device", "links to folders, pipes or devices"),
    Why.UNREADABLE: ("unreadable", "unreadable"),
    Why.UNLABELLED: ("without a label", "without a label"),
}


@dataclass
class NamedCount:
    """A count of things, with the names of the first ones."""

    count: int = 0
    names: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        self.count += 1
        if len(self.names) < _NAMES:
            self.names.append(name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 3]}...")

    @property
    def shown(self) -> str:
        """The names, in one line."""
        return ", ".join(self.names) + (", ..." if self.count > len(self.names) else "")


@dataclass
class LeftOut:
    """Files and folders that were left out, by reason.

    A folder counts once, regardless of its content. The names of folders end with a slash.
    """

    reasons: dict[Why, NamedCount] = field(default_factory=dict)

    def add(self, why: Why, name: str) -> None:
        self.reasons.setdefault(why, NamedCount()).add(name)

    def count(self, why: Why) -> int:
        return self.reasons[why].count if why in self.reasons else 0

    @property
    def total(self) -> int:
        return sum(named.count for named in self.reasons.values())

    def __bool__(self) -> bool:
        return bool(self.reasons)

    def __str__(self) -> str:
        parts = (f"{of.count} {_WORDS[why][of.count > 1]} ({of.shown})" for why, of in self.reasons.items())
        return f"{self.total} left out: {', '.join(parts)}"
