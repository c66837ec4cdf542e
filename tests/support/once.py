"""What is made once per test run, however many processes the tests run in."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest


def run_directory(factory: pytest.TempPathFactory) -> Path:
    """A directory that all processes of this test run share; pytest removes it with the other temporary files."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def make_once(path: Path, make: Callable[[Path], None]) -> Path:
    """Return `path`, which the first process that asks for it makes while the others wait.

    Parameters
    ----------
    make
        Gets the path of what it is to make, in the same directory. If it fails, nothing is left at `path`, and the next
        process tries again.
    """
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            partial = path.with_name(f".{path.name}.{os.getpid()}")
            make(partial)
            partial.rename(path)
    return path
