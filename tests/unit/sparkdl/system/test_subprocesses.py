"""Promises of `sparkdl.system.subprocesses`: a subprocess imports what this process does, and nothing by accident."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sparkdl.system.subprocesses import minimal_environment, python_command, python_environment, python_path

SAY_WHERE = "import sparkdl, os; print(os.path.dirname(sparkdl.__file__))"


def run(directory: Path, program: str, environment: dict[str, str]) -> str:
    command = python_command("-c", program)
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("environment", [python_environment(), minimal_environment((), {})])
def test_a_subprocess_finds_packages_where_this_process_does(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "sparkdl.py").write_text("raise SystemExit('imported from the working directory')")
    import sparkdl

    assert run(tmp_path, SAY_WHERE, environment) == f"{Path(sparkdl.__file__).parent}\n"


def test_an_empty_entry_is_this_working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert python_path(["", "/a"]) == f"{tmp_path}{os.pathsep}/a"


def test_variables_are_added_and_the_search_path_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "1")
    environment = python_environment(MINE="2", PYTHONPATH="/nowhere")
    assert (environment["SECRET"], environment["MINE"]) == ("1", "2")
    assert environment["PYTHONPATH"] == python_path(sys.path)


def test_a_minimal_environment_has_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "1")
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.delenv("LC_ALL", raising=False)
    assert minimal_environment(("LANG", "LC_ALL"), {"MINE": "2"}) == {
        "LANG": "C.UTF-8",
        "PYTHONPATH": python_path(),
        "MINE": "2",
    }
