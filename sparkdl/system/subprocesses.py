"""Python subprocesses that import every package from where this process imports it, and nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def python_command(*arguments: str) -> list[str]:
    """Return the command of this Python with `arguments`; it does not import from its working directory."""
    return [sys.executable, "-P", *arguments]


def python_path(path: Sequence[str] | None = None) -> str:
    """Return the `PYTHONPATH` for a subprocess: `path`, by default `sys.path`, with an absolute working directory.

    An empty entry, as in interactive Python, means the working directory of this process, not of the subprocess.
    """
    return os.pathsep.join(entry or str(Path.cwd()) for entry in (sys.path if path is None else path))


def python_environment(**variables: str) -> dict[str, str]:
    """Return the environment of this process with `variables` and the `PYTHONPATH` of `python_path`."""
    return {**os.environ, **variables, "PYTHONPATH": python_path()}


def minimal_environment(keep: Sequence[str], variables: Mapping[str, str]) -> dict[str, str]:
    """Return an environment with only `PYTHONPATH`, the variables named in `keep` if set, and `variables`."""
    kept = {name: os.environ[name] for name in keep if name in os.environ}
    return {**kept, "PYTHONPATH": python_path(), **variables}
