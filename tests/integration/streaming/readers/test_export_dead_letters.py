"""Promises of `streaming.readers.export`: the bytes of dead letters come back as files, and can be sent again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from another_user import as_another_user, shared_directory
from refusals import refused

from console.main import run
from sparkdl.errors import SparkdlError
from sparkdl.images.rejection import DEAD_LETTER_LIST
from streaming.readers.export import export_dead_letters, export_directory
from streaming.readers.parquet import ParquetReader
from training.data.loading import open_dataset

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LETTERS: dict[str, tuple[bytes | None, int, str | None]] = {
    "7/cut.png": (b"\x89PNG", 4, "7"),
    "../../etc/passwd": (b"root", 4, None),
    "digits/0/5": (b"", 0, None),
    "long.png": (None, 1 << 30, "7"),
    "\n" * 500 + "\u09e7.jpg": (b"\xff\xd8", 2, "1"),
}
"""Payload, size and label by id."""


@pytest.fixture
def sink(tmp_path: Path) -> Path:
    """A Parquet sink with dead letters of hostile names."""
    rows = [
        {
            "id": name,
            "origin": f"file:/{name}",
            "reason": "truncated",
            "detail": None,
            "payload": payload,
            "size": size,
            "sha256": None,
            "label": label,
            "produced_at": AT,
            "failed_at": AT,
            "batch_id": 0,
        }
        for name, (payload, size, label) in LETTERS.items()
    ]
    batch = tmp_path / "sink" / "dead_letters" / "batch=0"
    batch.mkdir(parents=True)
    (tmp_path / "sink" / "predictions").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), batch / "part.parquet")
    return tmp_path / "sink"


def exported(sink: Path, directory: Path) -> list[dict[str, Any]]:
    with export_directory(directory) as opened:
        return list(export_dead_letters(ParquetReader(str(sink)), opened))


def test_every_payload_is_a_file_directly_in_the_directory(sink: Path, tmp_path: Path) -> None:
    rows = exported(sink, tmp_path / "out")
    assert {row["id"]: row["file"] and (tmp_path / "out" / row["file"]).read_bytes() for row in rows} == {
        name: payload for name, (payload, _, _) in LETTERS.items()
    }
    names = {row["file"] for row in rows if row["file"]} | {DEAD_LETTER_LIST}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert all(name.isascii() and len(name) < 100 for name in names)


def test_the_list_has_all_of_a_row_but_its_bytes(sink: Path, tmp_path: Path) -> None:
    exported(sink, tmp_path / "out")
    listed = [json.loads(line) for line in (tmp_path / "out" / DEAD_LETTER_LIST).read_text().splitlines()]
    assert [row["id"] for row in listed] == list(LETTERS)
    assert "payload" not in listed[0]
    assert (listed[0]["reason"], listed[0]["label"], listed[0]["failed_at"]) == ("truncated", "7", AT.isoformat())
    assert listed[3]["file"] is None


def test_what_was_exported_is_sent_again_with_its_labels(sink: Path, tmp_path: Path) -> None:
    assert run(["predictions", str(sink), "--dead-letters", "--export", str(tmp_path / "out")]) == 0
    again = open_dataset(str(tmp_path / "out"), require_labels=False)
    assert sorted((image.read(), image.label) for image in again) == sorted(
        (payload, label or "") for payload, _, label in LETTERS.values() if payload is not None
    )
    assert run(["produce", "--data", str(tmp_path / "out"), "--to", str(tmp_path / "watched")]) == 0
    assert sorted(path.read_bytes() for path in (tmp_path / "watched").iterdir()) == sorted(
        payload for payload, _, _ in LETTERS.values() if payload is not None
    )


def test_to_train_on_them_each_needs_a_label(sink: Path, tmp_path: Path) -> None:
    exported(sink, tmp_path / "out")
    dataset = open_dataset(str(tmp_path / "out"))
    assert sorted(image.label for image in dataset) == ["1", "7"]
    assert [problem for problem in dataset.problems if "it has no label" in problem] == list(dataset.problems)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "missing.png", 7])
def test_a_list_cannot_name_files_elsewhere(tmp_path: Path, name: object) -> None:
    (tmp_path / "secret").write_text("")
    out = tmp_path / "out"
    out.mkdir()
    (out / DEAD_LETTER_LIST).write_text(json.dumps({"file": name, "label": "7"}) + "\nno JSON\n")
    with refused("no labelled image found", "no file"):
        open_dataset(str(out), require_labels=False)


def test_a_list_cannot_name_links_nor_nonsense(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("")
    out = tmp_path / "out"
    out.mkdir()
    (out / "link.png").symlink_to(tmp_path / "secret")
    (out / "1.png").write_bytes(b"x")
    lines = [
        {"file": "link.png", "label": "7"},
        {"file": "1.png", "label": ["7"]},
        {"file": "1.png", "label": "7" * 300},
    ]
    listed = "".join(json.dumps(line) + "\n" for line in (*lines, {"file": "1.png", "label": "\ud800"}))
    (out / DEAD_LETTER_LIST).write_text(listed + "[" * 100_000 + "\n")
    dataset = open_dataset(str(out))
    assert [(image.name, image.label) for image in dataset] == [("1.png", "\\ud800")]
    assert len(dataset.problems) == 4


def test_a_directory_that_holds_something_is_refused(sink: Path, tmp_path: Path) -> None:
    with refused("is not empty: name a new directory"):
        exported(sink, sink)
    with refused("cannot be created or opened"):
        exported(sink, sink / "dead_letters" / "batch=0" / "part.parquet")


# --- another user of the machine ------------------------------------------------------------------------------------


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory in which every user may make files, as `/tmp`."""
    with shared_directory() as directory:
        yield directory


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A file of this user; whatever is done, it holds the same afterwards."""
    path = tmp_path / "victim"
    path.write_text("mine")
    yield path
    assert path.read_text() == "mine"


def names(sink: Path, directory: Path) -> list[str]:
    """The files of an export, which anybody can predict."""
    return [row["file"] for row in exported(sink, directory) if row["file"]]


@pytest.mark.parametrize("mode", ["700", "755", "777"])
def test_a_directory_of_another_user_is_refused(sink: Path, shared: Path, tmp_path: Path, mode: str) -> None:
    as_another_user('mkdir "$1/out" && chmod "$2" "$1/out"', shared, mode)
    with refused("out belongs to another user (nobody): name a new directory"):
        exported(sink, shared / "out")
    assert not list((shared / "out").iterdir())


def test_links_that_another_user_planted_are_not_written_through(
    sink: Path, shared: Path, victim: Path, tmp_path: Path
) -> None:
    expected = names(sink, tmp_path / "first")
    (shared / "out").mkdir()
    (shared / "out").chmod(0o1777)
    with refused("out can be written by everybody"):
        exported(sink, shared / "out")
    for name in (f".{DEAD_LETTER_LIST}", *expected):
        as_another_user('ln -s "$1" "$2"', victim, shared / "out" / name)
    with refused("out can be written by everybody"):
        exported(sink, shared / "out")


@pytest.mark.parametrize("planted", ["link", "file", "fifo"])
@pytest.mark.timeout(60)
def test_what_is_planted_after_the_check_is_not_written_to(
    sink: Path, victim: Path, tmp_path: Path, planted: str
) -> None:
    expected = names(sink, tmp_path / "first")
    out = tmp_path / "out"
    for name in (f".{DEAD_LETTER_LIST}", expected[-1]):
        with export_directory(out) as opened:
            if planted == "link":
                (out / name).symlink_to(victim)
            elif planted == "file":
                (out / name).hardlink_to(victim)
            else:
                os.mkfifo(out / name)
            with pytest.raises(SparkdlError, match="the export failed: File exists"):
                list(export_dead_letters(ParquetReader(str(sink)), opened))
        assert not (out / DEAD_LETTER_LIST).exists()
        shutil.rmtree(out)


def test_a_directory_that_is_exchanged_after_the_check_is_still_the_one_written_to(sink: Path, tmp_path: Path) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    other.mkdir()
    with export_directory(out) as opened:
        out.rename(tmp_path / "moved")
        out.symlink_to(other)
        list(export_dead_letters(ParquetReader(str(sink)), opened))
    assert not list(other.iterdir())
    assert (tmp_path / "moved" / DEAD_LETTER_LIST).is_file()


def test_links_to_directories_are_not_followed(sink: Path, shared: Path, tmp_path: Path) -> None:
    (tmp_path / "empty" / "out").mkdir(parents=True)
    as_another_user(
        'ln -s "$2" "$1/out" && ln -s "$3" "$1/way"', shared, tmp_path / "empty" / "out", tmp_path / "empty"
    )
    with refused("out is a link, which is not followed"):
        exported(sink, shared / "out")
    with refused("way is a link of another user, which is not followed"):
        exported(sink, shared / "way" / "out")
    assert not list((tmp_path / "empty" / "out").iterdir())


@pytest.mark.parametrize("umask", [0o002, 0o000])
def test_a_new_directory_can_be_written_by_this_user_alone(sink: Path, tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        exported(sink, tmp_path / "new" / "out")
    finally:
        os.umask(before)
    assert (tmp_path / "new" / "out").stat().st_mode & 0o022 == 0


def test_export_is_for_dead_letters(sink: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predictions", str(sink), "--export", str(tmp_path / "out")]) == 2
    assert "--export is for --dead-letters" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
