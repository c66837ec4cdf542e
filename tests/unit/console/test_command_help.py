"""The help of each command: groups, defaults, environment variables and examples, on 80 columns."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from command_process import run_process
from parsed_commands import context_of

from console.command_table import COMMANDS
from console.commands.stream import _GROUPS
from console.examples import EXAMPLES
from console.main import build, run
from console.settings import is_setting
from streaming.settings import StreamSettings


def _paths() -> list[str]:
    found = ["sparkdl"]
    for name, command in build(list(COMMANDS)).commands.items():
        found += [f"sparkdl {name}", *(f"sparkdl {name} {part}" for part in getattr(command, "commands", ()))]
    return found


PATHS = _paths()


def help_of(path: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert run([*path.split()[1:], "--help"]) == 0
    return capsys.readouterr().out


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("path", PATHS)
def test_help_fits_on_80_columns_and_ends_with_examples(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(path, capsys)
    assert [line for line in text.splitlines() if len(line) > 80] == []
    _, found, examples = text.partition("\nExamples:\n")
    assert found
    assert [line.strip() for line in examples.splitlines()] == [line.strip() for line in EXAMPLES[path]]
    assert "..." not in text.partition("\n\n")[2].replace("PATH...", "")  # nothing is cut


@pytest.mark.parametrize("path", EXAMPLES)
def test_examples_can_be_parsed(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "production.toml").touch()
    text = "\n".join(EXAMPLES[path]).replace("\\\n", "")
    lines = [line.group() for line in re.finditer(r"sparkdl [^>)\"\n]+", text)]
    assert len(lines) == len(text.splitlines())
    for line in lines:
        assert context_of(shlex.split(line)[1:]).command_path.startswith(path)


def test_no_example_is_of_a_command_that_is_not_there() -> None:
    assert set(EXAMPLES) == set(PATHS)


@pytest.mark.parametrize("path", [path for path in PATHS if path != "sparkdl"])
def test_every_setting_is_listed_with_its_variable(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(help_of(path, capsys).split())
    command: Any = build([path.split()[1]])
    for name in path.split()[1:]:
        command = command.commands[name]
    for option in command.params:
        assert option.help or option.param_type_name == "argument"
        if is_setting(path, option):
            variable = re.search(rf"{option.opts[-1]} .*?\[env: (SPARKDL_\w+)\]", text)
            assert variable, option.opts
            assert variable[1].endswith(max(option.opts, key=len).strip("-").replace("-", "_").upper()), variable


def test_every_setting_of_a_stream_is_an_option_in_a_group() -> None:
    named = [name for names in _GROUPS.values() for name in names]
    assert sorted(named) == sorted([*StreamSettings.model_fields, "debug", "conf"])


def test_defaults_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    stream, train = (" ".join(help_of(f"sparkdl {name}", capsys).split()) for name in ("stream", "train"))
    for shown in ("[default: 1s]", "[default: models]", "[default: yes]", "[default: earliest]", "[required]"):
        assert shown in stream
    for shown in ("[default: digits]", "[default: 0.2]", "[default: auto]", "[required]"):
        assert shown in train


def test_options_are_grouped(capsys: pytest.CaptureFixture[str]) -> None:
    headings = re.findall(r"^(\w[\w -]*):$", help_of("sparkdl train", capsys), re.MULTILINE)
    assert headings == ["Images", "Labels", "Training", "Model", "Output", "Spark", "General", "Examples"]


def test_the_help_of_the_command_imports_no_sub_command(tmp_path: Path) -> None:
    answer = run_process(["--help"], tmp_path, tmp_path)
    assert not {name for name in answer.loaded if name.startswith("console.commands.")}
    assert "streaming.settings" not in answer.loaded


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["doctr"], "Did you mean 'doctor'?"),
        (["models", "pomote"], "Did you mean 'promote'?"),
        (["init", "--quite"], "--quiet"),
        (["completion", "fsh"], "'bash', 'zsh', 'fish'"),
        (["predictions", "out", "--format", "jsn"], "'table', 'json', 'csv'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_nearest_right_request_is_named(
    arguments: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    assert hint in capsys.readouterr().err
