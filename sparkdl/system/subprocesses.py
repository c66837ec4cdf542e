"""Python subprocesses that find every package where this process finds it, and import nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def python_command(*arguments: str) -> list[str]:
    """Return the command of this Python with `arguments`; it does not import from its working directory by itself."""
    return [sys.executable, "-P", *arguments]


def python_path(path: Sequence[str] | None = None) -> str:
    """Return the `PYTHONPATH` for a subprocess: `path`, by default `sys.path`, with the working directory spelled out.

    An empty entry, which interactive Python has, is the working directory of this process, not that of the subprocess.
    """
    return os.pathsep.join(entry or str(Path.cwd()) for entry in (sys.path if path is None else path))


def python_environment(**variables: str) -> dict[str, str]:
    """Return the environment of this process with `variables` and the `PYTHONPATH` of `python_path`."""
    return {**os.environ, **variables, "PYTHONPATH": python_path()}


def minimal_environment(keep: Sequence[str], variables: Mapping[str, str]) -> dict[str, str]:
    """Return an environment of nothing but `PYTHONPATH`, the variables named in `keep` where set, and `variables`."""
    kept = {name: os.environ[name] for name in keep if name in os.environ}
    return {**kept, "PYTHONPATH": python_path(), **variables}
