"""Which tests run in one process: those of a file, and those of all files that need the secured broker."""

from __future__ import annotations

from functools import cache

from paths import ROOT
from xdist.scheduler import LoadScopeScheduling

SHARED = "secured_broker"
"""A fixture that takes long to make, and that few files need."""


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Gives whole groups to processes, in the order of their first tests."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid.partition("::")[0])


@cache
def group_of(file: str) -> str:
    """The group of a file of tests, as its path below the repository."""
    return SHARED if SHARED in (ROOT / file).read_text(encoding="utf-8") else file
