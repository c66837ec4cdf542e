"""`sparkdl init`: a file in which every setting is a comment, and each is accepted once it is none."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import pytest
from parsed_commands import parse

from console.main import load_commands, run
from console.settings import is_setting, key_of
from streaming.settings import StreamSettings
from streaming.settings_file import TOML


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("init") / "project"
    before = os.umask(0)
    try:
        assert run(["init", str(place)]) == 0
    finally:
        os.umask(before)
    return place / TOML


@pytest.fixture
def all_set(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, object]]:
    """A working directory with the file without comment signs, and the content of that file."""
    text = re.sub(r"^#(?=\w)", "", written.read_text(), flags=re.MULTILINE)
    (tmp_path / TOML).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPARKDL_MODELS", raising=False)
    return tomllib.loads(text)


def test_nothing_in_the_file_is_in_effect_and_only_this_user_can_write_it(written: Path) -> None:
    assert not any(tomllib.loads(written.read_text()).values())
    assert written.stat().st_mode & 0o777 == 0o644
    assert [line for line in written.read_text().splitlines() if len(line) > 80] == []


def test_every_setting_of_every_command_is_in_the_file(all_set: dict[str, dict[str, object]]) -> None:
    for name, command in load_commands().items():
        parts = getattr(command, "commands", {"": command})
        paths = {f"sparkdl {name} {part}".strip(): each for part, each in parts.items()}
        keys = {key_of(each) for path, part in paths.items() for each in part.params if is_setting(path, each)}
        assert all_set[name].keys() == keys


@pytest.mark.parametrize(
    "arguments",
    [
        ["train"],
        ["evaluate"],
        ["predict", "x"],
        ["produce"],
        ["predictions", "x"],
        ["demo"],
        ["doctor"],
        ["models", "list"],
        ["models", "verify"],
        ["kafka", "start"],
        ["kafka", "status"],
    ],
    ids=" ".join,
)
def test_every_value_in_the_file_is_accepted(arguments: list[str], all_set: dict[str, dict[str, object]]) -> None:
    found = parse(*arguments)
    written = {key: value for key, value in all_set[arguments[0]].items() if key in found}
    assert written
    for key, value in written.items():
        taken = list(found[key]) if isinstance(value, list) else found[key]
        assert taken == (Path(str(value)) if isinstance(taken, Path) else value), key


def test_every_value_of_a_stream_is_accepted(all_set: dict[str, dict[str, object]]) -> None:
    assert StreamSettings.read().from_file == all_set["stream"]


def test_the_defaults_of_a_stream_are_those_in_the_file(all_set: dict[str, dict[str, object]]) -> None:
    needed = {"source": "in", "sink": "out", "checkpoint": "c"}
    Path(TOML).unlink()
    defaults = StreamSettings.read(**needed)
    for name, field in StreamSettings.model_fields.items():
        if field.default is not None and not field.is_required():
            assert getattr(StreamSettings.read(**needed, **{name: all_set["stream"][name]}), name) == getattr(
                defaults, name
            )


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / TOML).write_text("mine")
    assert run(["init", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"sparkdl: {tmp_path / TOML} is already there: edit it, or remove it first\n"
    (tmp_path / TOML).unlink()
    (tmp_path / TOML).symlink_to("nowhere")
    assert run(["init", str(tmp_path)]) == 2
    assert not (tmp_path / "nowhere").exists()


def test_a_place_that_is_no_directory_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert run(["init", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.startswith(f"sparkdl: DIR: cannot create the directory {tmp_path / 'file'}")
