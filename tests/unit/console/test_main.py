"""The command itself: its help, its version, and the modules that a sub-command imports."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest
from command_process import run_process

import sparkdl
from console.main import COMMANDS, run


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--help"], ["--help", "train"]):
        assert run(arguments) == 0
        out = capsys.readouterr().out
        assert [name for name in COMMANDS if f"\n  {name} " not in out] == []


def test_a_command_imports_no_other(tmp_path: Path) -> None:
    answer = run_process(["models", "list", "--models", "nowhere"], tmp_path, tmp_path)
    loaded = {name for name in answer.loaded if name.startswith("console.commands.")}
    assert loaded == {f"console.commands.models{part}" for part in ("", "_export", "_import")}


def test_the_version_needs_no_command(tmp_path: Path) -> None:
    answer = run_process(["--version"], tmp_path, tmp_path)
    assert (answer.code, answer.out) == (0, f"sparkdl {sparkdl.__version__}\n")
    assert {name for name in answer.loaded if name.startswith("console.commands.")} == set()


def test_the_command_prints_the_version_of_the_library(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"sparkdl {sparkdl.__version__}\n"


def test_the_installed_package_has_the_version_of_the_library() -> None:
    assert version("sparkdl-streaming") == sparkdl.__version__
