"""The command in a separate process, with control over what it can import."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from paths import ROOT

SLOW = {
    "cryptography",
    "deltalake",
    "h5py",
    "kafka",
    "kagglehub",
    "keras",
    "matplotlib",
    "mlflow",
    "onnx",
    "onnxruntime",
    "pandas",
    "pyspark",
    "scipy",
    "sklearn",
    "sqlalchemy",
    "tensorflow",
}
"""Modules that take long to load."""

_HOOKS = ROOT / "tests" / "support" / "hooks"


@dataclass(frozen=True)
class Answer:
    """How a command ended."""

    code: int
    out: str
    err: str
    loaded: frozenset[str]
    """The names, with dots, of the modules that its process had loaded when it exited."""


def run_process(
    arguments: Sequence[str], cwd: Path, modules: Path, without: Iterable[str] = (), **environment: str
) -> Answer:
    """Run `sparkdl` in a process.

    Parameters
    ----------
    cwd
        Its working directory.
    modules
        An empty directory, for the names of loaded modules.
    without
        Packages that neither it nor the processes that it starts can import.
    """
    path = os.pathsep.join([str(_HOOKS), str(ROOT)])
    own = {"PYTHONPATH": path, "TEST_LOADED_MODULES": str(modules), "TEST_REFUSED_MODULES": ",".join(without)}
    process = subprocess.Popen(
        [sys.executable, "-m", "console.main", *arguments],
        cwd=cwd,
        env={**os.environ, **own, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, err = process.communicate()
    loaded = (modules / f"{process.pid}.txt").read_text().splitlines()
    return Answer(process.returncode, out, err, frozenset(loaded))
