"""Completion in a shell: the script, and what it offers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_process import SLOW, run_process
from needs import need
from paths import ROOT

from console.main import run


@pytest.mark.parametrize(
    ("shell", "words"), [("bash", "complete -o default"), ("zsh", "#compdef sparkdl"), ("fish", "complete --command")]
)
def test_the_script_of_a_shell_is_printed(shell: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert script.startswith(words) or words in script
    assert f"_SPARKDL_COMPLETE=complete_{shell}" in script


def offered(line: str, tmp_path: Path) -> tuple[list[str], frozenset[str]]:
    """Return what is offered for a line, and the modules that were loaded for it."""
    fish = {"_SPARKDL_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    answer = run_process([], tmp_path, tmp_path, **fish, _TYPER_COMPLETE_ARGS=line)
    assert (answer.code, answer.err) == (0, "")
    return [each.partition("\t")[0] for each in answer.out.splitlines()], answer.loaded


def test_commands_are_offered_without_importing_one(tmp_path: Path) -> None:
    words, loaded = offered("sparkdl pre", tmp_path)
    assert words == ["predict", "predictions"]
    assert not {name for name in loaded if name.startswith("console.commands.")}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sparkdl kafka st", ["start", "stop", "status"]),
        ("sparkdl train --te", ["--test-fraction"]),
        ("sparkdl train --recipe digits", ["digits", "digits-large"]),
        ("sparkdl predictions out --format ", ["table", "json", "csv"]),
        ("sparkdl completion z", ["zsh"]),
    ],
)
def test_options_and_values_are_offered(line: str, expected: list[str], tmp_path: Path) -> None:
    words, loaded = offered(line, tmp_path)
    assert words == expected
    assert loaded & SLOW == set()


def test_versions_of_a_registry_are_offered(tmp_path: Path) -> None:
    for name in ("20260101T000000-digits", "20260202T000000-digits"):
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "model.json").write_text("{}")
    words, _ = offered("sparkdl models promote 202602", tmp_path)
    assert words == ["20260202T000000-digits"]


def test_bash_completes_with_the_script(tmp_path: Path) -> None:
    need(shutil.which("bash") is not None, "there is no bash")
    program = tmp_path / "sparkdl"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m console.main "$@"\n')
    program.chmod(0o755)
    script = (
        'eval "$(sparkdl completion bash)"; COMP_WORDS=(sparkdl doc); COMP_CWORD=1; '
        "_sparkdl_completion sparkdl; echo ${COMPREPLY[@]}"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert (done.stdout, done.stderr) == ("doctor\n", "")
