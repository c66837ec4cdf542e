"""Promises of `streaming.settings_file`: `sparkdl.toml` is obeyed aloud, and not where others could have put it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from another_user import as_another_user, shared_directory
from needs import need
from refusals import refused
from streams import Place, digits, drop

from console.main import run
from sparkdl.models.registry import Registry
from streaming.settings import AfterRead, StreamSettings
from streaming.settings_file import MOST_BYTES, TOML
from training.data.loading import Dataset

NEEDED = {"source": "in", "sink": "out", "checkpoint": "checkpoint"}
DELETE = 'after_read = "delete"\nhttp = "0.0.0.0:18090"\n'


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of this user's own, with no setting in the environment."""
    for name in StreamSettings.model_fields:
        monkeypatch.delenv(f"SPARKDL_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch, here: Path) -> Iterator[Path]:
    """A working directory in which every user may make files, such as `/tmp`."""
    with shared_directory() as directory:
        monkeypatch.chdir(directory)
        yield directory
        monkeypatch.chdir(here)


def test_a_file_that_another_user_planted_is_refused(shared: Path) -> None:
    as_another_user('printf "%s" "$2" > "$1/sparkdl.toml"', shared, DELETE)
    with refused("sparkdl.toml belongs to another user (nobody)", "start elsewhere"):
        StreamSettings.read(**NEEDED)


def test_a_link_of_another_user_to_a_file_of_ours_is_refused(shared: Path, here: Path) -> None:
    (here / "mine.toml").write_text(DELETE)
    as_another_user('ln -s "$2" "$1/sparkdl.toml"', shared, here / "mine.toml")
    with refused("sparkdl.toml is a link, which is not followed"):
        StreamSettings.read(**NEEDED)


def test_a_file_of_ours_where_others_may_write_is_refused(shared: Path) -> None:
    (shared / TOML).write_text("")
    with refused("the directory of sparkdl.toml can be written by everybody: chown and chmod go-w ."):
        StreamSettings.read(**NEEDED)


@pytest.mark.parametrize(("mode", "who"), [(0o664, "the group 100"), (0o646, "everybody"), (0o666, "everybody")])
def test_a_file_that_others_may_write_is_refused(here: Path, mode: int, who: str) -> None:
    need(os.geteuid() == 0, "only root can give a file to another group")
    (here / TOML).write_text(DELETE)
    os.chown(here / TOML, -1, 100)
    (here / TOML).chmod(mode)
    with refused(f"sparkdl.toml can be written by {who}: chown and chmod go-w sparkdl.toml"):
        StreamSettings.read(**NEEDED)


def test_a_group_of_this_user_alone_may_write(here: Path) -> None:
    here.chmod(0o775)  # as a umask of 002 makes it
    (here / TOML).write_text(DELETE)
    (here / TOML).chmod(0o664)
    assert StreamSettings.read(**NEEDED).after_read is AfterRead.DELETE


def test_a_directory_of_another_user_is_refused(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_another_user('mkdir "$1/theirs"', shared)
    (shared / "theirs" / TOML).write_text(DELETE)
    monkeypatch.chdir(shared / "theirs")
    with refused("the directory of sparkdl.toml belongs to another user"):
        StreamSettings.read(**NEEDED)


@pytest.mark.timeout(20)
def test_a_fifo_is_refused_and_not_waited_for(here: Path) -> None:
    os.mkfifo(here / TOML)
    with refused("sparkdl.toml: expected a regular file"):
        StreamSettings.read(**NEEDED)


def test_a_directory_or_a_device_is_refused(here: Path) -> None:
    (here / TOML).mkdir()
    with refused("sparkdl.toml"):
        StreamSettings.read(**NEEDED)
    (here / TOML).rmdir()
    if os.geteuid() == 0:
        os.mknod(here / TOML, 0o600 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero
        with refused("sparkdl.toml"):
            StreamSettings.read(**NEEDED)


def test_a_file_without_end_is_refused(here: Path) -> None:
    with (here / TOML).open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with refused(f"sparkdl.toml: expected at most {MOST_BYTES} bytes"):
        StreamSettings.read(**NEEDED)


def test_a_file_nested_without_end_is_refused(here: Path) -> None:
    (here / TOML).write_text("source = " + "[" * 100_000)
    with refused("sparkdl.toml: "):
        StreamSettings.read(**NEEDED)


# --- where it lies ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("below", [".", "7"])
def test_a_file_in_the_watched_directory_is_refused(here: Path, monkeypatch: pytest.MonkeyPatch, below: str) -> None:
    standing = here / "in" / below
    standing.mkdir(parents=True)
    (standing / TOML).write_text(DELETE)
    monkeypatch.chdir(standing)
    (here / "link").symlink_to("in")
    for source in (here / "in", here / "link", "." if below == "." else ".."):
        with refused("sparkdl.toml is in the watched directory", "start elsewhere"):
            StreamSettings.read(**{**NEEDED, "source": str(source)})


VERSION, BARE = ("model.json", "pipeline/metadata", "report"), ("metadata", "stages")


@pytest.mark.parametrize(
    ("parts", "below"),
    [(VERSION, "."), (VERSION, "pipeline"), (VERSION, "pipeline/metadata"), (VERSION, "report"), (BARE, "stages")],
)
@pytest.mark.parametrize("named", [True, False])
def test_a_file_in_a_model_is_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch, parts: tuple[str, ...], below: str, named: bool
) -> None:
    for part in parts:
        (here / "models" / "m" / part).mkdir(parents=True)
    monkeypatch.chdir(here / "models" / "m" / below)
    Path(TOML).write_text('review_below = 0.0\nmodel = "."\n')
    with refused("sparkdl.toml is in the model", "start elsewhere"):
        StreamSettings.read(**NEEDED, model=str(here / "models") if named else "elsewhere")


def test_a_file_beside_source_and_model_is_read(here: Path) -> None:
    (here / "in").mkdir()
    (here / "models").mkdir()
    (here / TOML).write_text("review_below = 0.5")
    settings = StreamSettings.read(**NEEDED)
    assert (settings.review_below, settings.from_file) == (0.5, {"review_below": 0.5})


def test_a_value_out_of_range_is_named_with_its_file(here: Path) -> None:
    (here / TOML).write_text("review_below = 7")
    with refused("sparkdl.toml: review_below: input should be less than or equal to 1, received 7"):
        StreamSettings.read(**NEEDED)


# --- what is said of it ----------------------------------------------------------------------------------------------


def said(capsys: pytest.CaptureFixture[str], *more: str) -> list[str]:
    """The messages of a command line that is refused, at the latest because there is no source."""
    assert run(["stream", "--sink", "out", "--checkpoint", "c", "--source", "nowhere", *more]) == 2
    return capsys.readouterr().err.splitlines()[:-1]


def test_nothing_is_said_where_nothing_was_taken(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys) == []
    (here / TOML).write_text('source = "in"\n[train]\nseed = 7')
    assert said(capsys) == []


def test_the_file_and_what_was_taken_from_it_are_named(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / TOML).write_text('source = "in"\ntrigger = "2m"\nstable_after = "1s"\nreview_below = 0.5')
    monkeypatch.setenv("SPARKDL_STABLE_AFTER", "3s")
    assert said(capsys) == [f"settings from {here / TOML}: trigger = '2m', review_below = 0.5"]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ('after_read = "delete"', "files below nowhere are deleted once they are read (after_read)"),
        (
            'after_read = "archive"\narchive_dir = "a"',
            "files below nowhere are moved to a once they are read (after_read)",
        ),
        ('http = "8090"', "health and metrics are served to this machine on 127.0.0.1, port 8090 (http)"),
        (
            'http = "0.0.0.0:8090"',
            "health and metrics are served to any machine that can reach it on 0.0.0.0, port 8090 (http)",
        ),
        (
            'model = "mlflow:a@b"',
            "the model mlflow:a@b is fetched from an MLflow server and followed there (model, mlflow)",
        ),
        ('kafka_config = "k"', "Kafka clients log in with k (kafka_config)"),
    ],
)
def test_what_deletes_or_uses_the_network_is_said_in_words(
    here: Path, capsys: pytest.CaptureFixture[str], setting: str, words: str
) -> None:
    (here / TOML).write_text(setting)
    assert said(capsys)[1:] == [f"  by sparkdl.toml, {words}"]


def test_addresses_of_kafka_are_said_in_words(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / TOML).write_text('source = "kafka://127.0.0.1:1/in"\nsink = "kafka://127.0.0.1:1/out"\ncheckpoint = "c"\n')
    assert run(["stream"]) == 1
    source, sink = capsys.readouterr().err.splitlines()[1:3]
    assert "images are read over the network from kafka://127.0.0.1:1/in (source)" in source
    assert "predictions and unreadable images are sent over the network to kafka://127.0.0.1:1/out (sink)" in sink


def test_terminals_obey_nothing_in_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / TOML).write_text('model = "\\u001b[2J\\u202e"')
    assert "\x1b" not in "".join(said(capsys))


def test_a_stream_started_among_the_files_of_another_user_deletes_none(
    drawn: Dataset, capsys: pytest.CaptureFixture[str], shared: Path, here: Path
) -> None:
    place = Place(here, Registry(here / "models"))
    drop(digits(drawn, 3), place.watched)
    as_another_user('printf "%s" "$2" > "$1/sparkdl.toml"', shared, DELETE)
    request = ["stream", "--source", place.watched, "--sink", place.sink, "--model", place.registry.path]
    assert run([*map(str, request), "--checkpoint", str(place.checkpoint), "--available-now"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("sparkdl: sparkdl.toml belongs to another user")
    assert len([path for path in place.watched.rglob("*") if path.is_file()]) == 3
