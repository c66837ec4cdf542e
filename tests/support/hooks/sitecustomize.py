"""Python loads this at its start where this directory is on PYTHONPATH; it does what the environment asks for.

`TEST_REFUSED_MODULES`: names of packages, separated by commas, that cannot be imported or found. `TEST_LOADED_MODULES`:
a directory, where each process writes the names of the modules that it has loaded when it exits.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

REFUSED = frozenset(filter(None, os.environ.get("TEST_REFUSED_MODULES", "").split(",")))
LOADED = os.environ.get("TEST_LOADED_MODULES")


class Refusal(MetaPathFinder):
    """As if the packages were not installed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] in REFUSED:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return None


def write_loaded(directory: Path) -> None:
    (directory / f"{os.getpid()}.txt").write_text("\n".join(sorted(sys.modules)))


if REFUSED:
    sys.meta_path.insert(0, Refusal())
if LOADED:
    atexit.register(write_loaded, Path(LOADED))
