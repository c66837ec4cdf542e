"""The `sparkdl` command in this process: the same answers and exit codes without the start of a Python."""

from __future__ import annotations

from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO

from console.main import run


@dataclass(frozen=True)
class Finished:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


def run_command(*arguments: object) -> Finished:
    """Run `sparkdl` with `arguments` in this process, on the Spark session that it has."""
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        code = run([str(argument) for argument in arguments])
    return Finished(code, out.getvalue(), err.getvalue())
