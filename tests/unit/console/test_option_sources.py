"""Where the value of an option comes from: flag, environment, settings file, default."""

from __future__ import annotations

from pathlib import Path

import pytest
from parsed_commands import parse
from refusals import refused

from console.main import run
from sparkdl.errors import RequestError
from streaming.settings import StreamSettings
from streaming.settings_file import TOML


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPARKDL_MODELS", raising=False)
    return tmp_path


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(list(arguments)) == 2
    lines = capsys.readouterr().err.splitlines()
    return lines[-1].removeprefix("sparkdl: ")


def test_the_flag_goes_before_the_environment_before_the_file_before_the_default(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert parse("produce", "--data", "x", "--to", "y")["seed"] == 0
    (here / TOML).write_text("[produce]\nseed = 1\nshuffle = true")
    assert parse("produce", "--data", "x", "--to", "y")["seed"] == 1
    monkeypatch.setenv("SPARKDL_PRODUCE_SEED", "2")
    assert parse("produce", "--data", "x", "--to", "y")["seed"] == 2
    found = parse("produce", "--data", "x", "--to", "y", "--seed", "3")
    assert (found["seed"], found["shuffle"]) == (3, True)


def test_a_required_option_can_come_from_the_file_and_the_environment(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / TOML).write_text('[produce]\ndata = "samples"')
    monkeypatch.setenv("SPARKDL_PRODUCE_TO", "incoming")
    found = parse("produce")
    assert (found["data"], found["to"]) == ("samples", "incoming")


def test_every_kind_of_value_can_come_from_the_file(here: Path) -> None:
    (here / TOML).write_text(
        '[train]\ndata = "x"\ntest_fraction = 0.5\nmodels = "m"\npromote = false\nlayout = "classes"\n'
        'ignore = ["*.bak", "a,b"]\n[train.set]\nmax_iter = 20\n'
    )
    found = parse("train")
    assert (found["test_fraction"], found["models"], found["promote"]) == (0.5, Path("m"), False)
    assert (found["layout"], list(found["ignore"]), list(found["set"])) == (
        "classes",
        ["*.bak", "a,b"],
        ["max_iter=20"],
    )


def test_a_list_of_the_environment_is_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARKDL_PREDICT_IGNORE", "*.bak, raw/")
    assert list(parse("predict", "x")["ignore"]) == ["*.bak", "raw/"]


def test_the_table_of_a_group_is_for_all_its_commands(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / TOML).write_text('[kafka]\nport = 1234\ndir = "k"\n[models]\nmodels = "m"\nformat = "json"\n')
    assert parse("kafka", "start")["port"] == 1234
    assert parse("kafka", "status")["dir"] == Path("k")
    assert parse("models", "show")["models"] == Path("m")
    monkeypatch.setenv("SPARKDL_MODELS", "n")
    assert (parse("models", "list")["models"], parse("train", "--data", "x")["models"]) == (Path("n"), Path("n"))


def test_a_stream_reads_its_table_or_the_top_level(here: Path) -> None:
    (here / TOML).write_text('retries = 7\n[stream]\nsource = "in"\nsink = "out"\ncheckpoint = "c"\n[train]\nseed = 1')
    settings = StreamSettings.read()
    assert (settings.source, settings.retries) == ("in", 7)
    assert settings.from_file == {"source": "in", "sink": "out", "checkpoint": "c", "retries": 7}


def test_another_file_can_be_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / TOML).write_text("[train]\nseed = 1\n[stream]\nretries = 1")
    (here / "target.toml").write_text("[train]\nseed = 2\n[stream]\nretries = 2")
    (here / "other.toml").symlink_to("target.toml")  # as Kubernetes mounts settings
    assert parse("train", "--data", "x", "--config", "other.toml")["seed"] == 2
    needed = {"source": "in", "sink": "out", "checkpoint": "c"}
    assert StreamSettings.read(Path("other.toml"), **needed).retries == 2
    monkeypatch.setenv("SPARKDL_CONFIG", "other.toml")
    assert parse("train", "--data", "x")["seed"] == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[train]\nsed = 1", "sparkdl.toml: [train]: unknown setting 'sed': did you mean seed?"),
        ("[train]\ntest-fraction = 0.1", "sparkdl.toml: [train]: unknown setting 'test-fraction': did you mean test_"),
        ("[train]\nzzz = 1", "unknown setting 'zzz': expected one of data, seed"),
        ("[trian]\nseed = 1", "sparkdl.toml: unknown table 'trian': did you mean train?"),
        ("[train]\nseed = 'x'", "sparkdl.toml: [train] seed: Input should be a valid integer, unable to"),
        ("[train]\nseed = 'x'", "received 'x'"),
        ("[train]\nseed = true", "sparkdl.toml: [train] seed: expected a text or a number, received True"),
        ("[train]\nmodels = ['a']", "sparkdl.toml: [train] models: expected a text or a number, received ['a']"),
        ("[train]\npromote = 'no'", "sparkdl.toml: [train] promote: expected true or false, received 'no'"),
        ("[train]\nlayout = 'flat'", "sparkdl.toml: [train] layout: 'flat' is not one of 'auto'"),
        ("[train]\nignore = 'a'", 'sparkdl.toml: [train] ignore: expected a list of texts such as ["a", "b"]'),
        ("[train]\nconf = ['a=b']", "sparkdl.toml: [train] conf: a Spark setting can start programs: use the flag"),
        ("train = 1", "sparkdl.toml: expected the table [train], received train = 1"),
        ("[train", "sparkdl.toml: "),
    ],
)
def test_a_wrong_entry_is_named_with_its_file_and_key(
    here: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    (here / TOML).write_text(text)
    assert words in refusal(capsys, "train", "--data", "samples:2")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("triger = '1s'", "sparkdl.toml: unknown setting 'triger': did you mean trigger?"),
        ("[stream]\ntriger = '1s'", "sparkdl.toml: [stream]: unknown setting 'triger': did you mean trigger?"),
        ("[stream]\nretries = -1", "sparkdl.toml: [stream] retries: input should be greater than or equal to 0"),
        ("retries = 1\n[stream]\nretries = 2", "sparkdl.toml: retries is both at the top level and in [stream]"),
        ("[streem]\nretries = 1", "sparkdl.toml: unknown table 'streem': did you mean stream?"),
    ],
)
def test_a_wrong_entry_of_a_stream_is_named_too(
    here: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    (here / TOML).write_text(text)
    needed = ("--source", "in", "--sink", "out", "--checkpoint", "c")
    assert refusal(capsys, "stream", *needed).startswith(words)


def test_a_wrong_value_of_the_environment_is_named_with_its_variable(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARKDL_TRAIN_SEED", "x")
    assert refusal(capsys, "train", "--data", "samples:2").startswith("SPARKDL_TRAIN_SEED: Input should be a valid")


def test_a_file_that_is_named_and_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["train", "--data", "x"], ["stream"]):
        assert refusal(capsys, *command, "--config", "no.toml") == "--config: no such file: no.toml"


def test_a_named_file_that_others_can_write_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "a.toml").touch()
    (here / "a.toml").chmod(0o666)
    said = refusal(capsys, "train", "--data", "x", "--config", "a.toml")
    assert said.startswith("a.toml can be written by everybody: chown and chmod go-w a.toml")


def test_what_was_taken_from_the_file_is_printed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / TOML).write_text('[train]\ndata = "nowhere"\nmodels = "m"\nlayout = "auto"')
    assert run(["train", "--models", "n"]) == 2
    first, *_ = capsys.readouterr().err.splitlines()
    assert first == f"settings from {here / TOML}: data = 'nowhere', layout = 'auto'"


@pytest.mark.parametrize("command", ["train", "produce"])
def test_a_file_among_the_images_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    (here / "images").mkdir()
    (here / "images" / TOML).write_text(f"[{command}]\nseed = 1")
    monkeypatch.chdir(here / "images")
    to = ["--to", "out"] if command == "produce" else []
    assert refusal(capsys, command, "--data", ".", *to) == (
        "sparkdl.toml is in the images ., whose files are not trusted: start elsewhere"
    )


def test_a_file_in_a_model_is_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "m" / "pipeline").mkdir(parents=True)
    (here / "m" / "model.json").touch()
    (here / "m" / TOML).write_text("[produce]\nseed = 1")
    monkeypatch.chdir(here / "m")
    assert run(["produce", "--data", "samples:1", "--to", "out"]) == 2
    assert not (here / "m" / "out").exists()


def test_help_and_completion_need_no_readable_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / TOML).write_text("[[[")
    assert run(["train", "--help"]) == 0
    assert run(["completion", "bash"]) == 0
    with pytest.raises(RequestError):
        parse("train", "--data", "x")


def test_commands_without_settings_take_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--config" in refusal(capsys, "init", "--config", "x")


def test_the_streams_file_is_refused_in_python_too(here: Path) -> None:
    (here / TOML).write_text("sorce = 'in'")
    with refused("sparkdl.toml: unknown setting 'sorce': did you mean source?"):
        StreamSettings.read(source="in", sink="out", checkpoint="c")
