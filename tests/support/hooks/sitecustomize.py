"""Python loads this at its start where this directory is on PYTHONPATH; it does what the environment asks for.

`TEST_REFUSED_MODULES`: names of packages, separated by commas, that cannot be imported or found. `TEST_LOADED_MODULES`:
a directory, where each process writes the names of the modules that it has loaded when it exits.
"""

from __future__ import annotations

import atexit
import os
import sys
from pathlib import Path
from typing import Any

REFUSED = frozenset(filter(None, os.environ.get("TEST_REFUSED_MODULES", "").split(",")))
LOADED = os.environ.get("TEST_LOADED_MODULES")


class Hiding:
    """A finder of modules that finds none of the refused packages, as if they were not installed."""

    def __init__(self, finder: Any) -> None:
        self._finder = finder

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        return None if fullname.partition(".")[0] in REFUSED else self._finder.find_spec(fullname, path, target)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._finder, name)


def write_loaded(directory: Path) -> None:
    (directory / f"{os.getpid()}.txt").write_text("\n".join(sorted(sys.modules)))


if REFUSED:
    sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
if LOADED:
    atexit.register(write_loaded, Path(LOADED))
