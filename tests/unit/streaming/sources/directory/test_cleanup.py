"""Promises of `streaming.sources.directory.cleanup`: after reading, files go where they should, and none is lost on the
way.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from needs import need

from sparkdl.errors import RequestError, SparkdlError
from streaming.sources.directory.cleanup import Cleanup, check_archive, completed_logs
from streaming.sources.directory.file_log import FileLog
from streaming.sources.directory.listing import list_files

MAX_BYTES = 100


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    directory = tmp_path / "watched"
    directory.mkdir()
    return directory


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "archive"


def put(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def read_all(watched: Path) -> FileLog:
    """The progress after all files were read in one micro-batch."""
    log = FileLog(watched.parent / "checkpoint" / "files")
    log.begin_cleanup(0)
    log.append(list(list_files(watched)))
    return log


def contents(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


# --- files that are moved ----------------------------------------------------------------------------------------


def test_an_archive_keeps_the_folders(watched: Path, archive: Path) -> None:
    put(watched / "7" / "a.png", b"seven")
    put(watched / "a.png", b"none")
    log = read_all(watched)
    Cleanup(watched, archive, MAX_BYTES).run(log, 1)
    assert contents(archive) == {"7/a.png": b"seven", "a.png": b"none"}
    assert list(watched.iterdir()) == [watched / "7"]  # a folder stays, someone may be about to write into it
    assert "7/a.png" not in log


def test_nothing_is_moved_before_its_micro_batch_is_complete(watched: Path, archive: Path) -> None:
    put(watched / "a.png")
    log = read_all(watched)
    Cleanup(watched, archive, MAX_BYTES).run(log, 0)
    assert contents(watched) == {"a.png": b"x"}
    assert "a.png" in log


def test_no_file_of_the_archive_is_ever_replaced(watched: Path, archive: Path) -> None:
    cleanup = Cleanup(watched, archive, MAX_BYTES)
    log = read_all(watched)
    for number in range(5):
        os.utime(put(watched / "a.png", str(number).encode()), ns=(1, 10**18 + number // 2))
        cleanup.run(log, log.append(list(list_files(watched))))
    assert sorted(contents(archive).values()) == [b"0", b"1", b"2", b"3", b"4"]
    assert {name for name in contents(archive) if not name.endswith(".png")} == set()


def test_a_move_that_was_cut_off_in_the_middle_is_ended(watched: Path, archive: Path) -> None:
    source = put(watched / "a.png")
    archive.mkdir()
    (archive / "a.png").hardlink_to(source)
    log = read_all(watched)
    Cleanup(watched, archive, MAX_BYTES).run(log, 1)
    assert (contents(watched), contents(archive)) == ({}, {"a.png": b"x"})


def test_a_link_is_moved_and_what_it_leads_to_is_not(watched: Path, archive: Path, tmp_path: Path) -> None:
    elsewhere = put(tmp_path / "elsewhere.png")
    (watched / "a.png").symlink_to(elsewhere)
    Cleanup(watched, archive, MAX_BYTES).run(read_all(watched), 1)
    assert elsewhere.exists()
    assert (archive / "a.png").readlink() == elsewhere


# --- files that are deleted --------------------------------------------------------------------------------------


def test_files_are_deleted_and_forgotten(watched: Path) -> None:
    put(watched / "7" / "a.png")
    log = read_all(watched)
    Cleanup(watched, None, MAX_BYTES).run(log, 1)
    assert contents(watched) == {}
    assert "7/a.png" not in log


def test_a_file_that_was_not_read_as_a_whole_is_not_deleted(watched: Path) -> None:
    put(watched / "long.png", bytes(MAX_BYTES + 1))
    put(watched / "short.png", bytes(MAX_BYTES))
    log = read_all(watched)
    Cleanup(watched, None, MAX_BYTES).run(log, 1)
    assert list(contents(watched)) == ["long.png"]
    assert "long.png" in log


# --- both --------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["archive", "delete"])
def cleanup(request: pytest.FixtureRequest, watched: Path, archive: Path) -> Cleanup:
    return Cleanup(watched, archive if request.param == "archive" else None, MAX_BYTES)


def test_another_image_of_the_name_stays_and_is_read_in_its_turn(watched: Path, cleanup: Cleanup) -> None:
    put(watched / "a.png", b"first")
    log = read_all(watched)
    put(watched / "a.png", b"second")
    cleanup.run(log, 1)
    assert contents(watched) == {"a.png": b"second"}
    assert "a.png" not in log
    cleanup.run(log, log.append(list(list_files(watched))))
    assert contents(watched) == {}


def test_a_file_that_is_gone_already_is_forgotten(watched: Path, cleanup: Cleanup) -> None:
    put(watched / "7" / "a.png").with_name("b.png").touch()
    log = read_all(watched)
    (watched / "7" / "a.png").unlink()
    cleanup.run(log, 1)
    assert "7/a.png" not in log
    assert contents(watched) == {}


def test_what_was_swept_is_not_swept_again(watched: Path, cleanup: Cleanup) -> None:
    path = put(watched / "a.png")
    at = path.stat().st_mtime_ns
    log = read_all(watched)
    cleanup.run(log, 1)
    os.utime(put(path), ns=(at, at))  # the very same file, put there again
    cleanup.run(log, 1)
    cleanup.run(FileLog(watched.parent / "checkpoint" / "files"), 1)
    assert contents(watched) == {"a.png": b"x"}
    assert "a.png" not in log


def test_a_file_that_cannot_be_removed_is_told_of_once_and_the_stream_goes_on(
    watched: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.png", "b.png"):
        put(watched / name)
    archive.write_text("a file where the archive should be")
    log = read_all(watched)
    cleanup = Cleanup(watched, archive, MAX_BYTES)
    cleanup.run(log, 1)
    put(watched / "c.png")
    cleanup.run(log, log.append([file for file in list_files(watched) if file.name not in log]))
    assert set(contents(watched)) == {"a.png", "b.png", "c.png"}
    assert all(name in FileLog(log.directory) for name in contents(watched))
    (line,) = capsys.readouterr().err.splitlines()
    said = json.loads(line)
    assert (said["level"], said["event"]) == ("warning", "a file could not be archived")
    assert str(archive) in said["why"]


# --- who can write to the watched directory ----------------------------------------------------------------------


def test_nothing_is_removed_through_a_link_that_took_the_place_of_a_folder(
    watched: Path, cleanup: Cleanup, tmp_path: Path
) -> None:
    mine = put(watched / "deep" / "7" / "a.png", b"same")
    theirs = put(tmp_path / "elsewhere" / "7" / "a.png", b"same")
    os.utime(theirs, ns=(0, mine.stat().st_mtime_ns))
    log = read_all(watched)
    (watched / "deep").rename(tmp_path / "away")
    (watched / "deep").symlink_to(tmp_path / "elsewhere")
    cleanup.run(log, 1)
    assert theirs.read_bytes() == b"same"
    assert "deep/7/a.png" not in log


def test_nothing_is_archived_through_a_link_in_the_archive(
    watched: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(watched / "7" / "a.png")
    (tmp_path / "elsewhere").mkdir()
    (watched / ".archive").mkdir()
    (watched / ".archive" / "7").symlink_to(tmp_path / "elsewhere")
    log = read_all(watched)
    Cleanup(watched, watched / ".archive", MAX_BYTES).run(log, 1)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert (watched / "7" / "a.png").read_bytes() == b"x"
    assert ".archive/7 is not a directory, or its path contains a link" in capsys.readouterr().err


# --- what is complete --------------------------------------------------------------------------------------------


def note(checkpoint: Path, batch: int, logs: int, complete: bool) -> None:
    for part in ("offsets", "commits"):
        (checkpoint / part).mkdir(parents=True, exist_ok=True)
    put(checkpoint / "offsets" / str(batch), b'v1\n{"batchWatermarkMs":0}\n{"logs": %d}' % logs)
    put(checkpoint / "offsets" / f".{batch}.crc", b"crc")
    if complete:
        put(checkpoint / "commits" / str(batch), b'v1\n{"nextBatchWatermarkMs":0}')
        put(checkpoint / "commits" / f".{batch}.crc", b"crc")


def test_the_newest_micro_batch_that_spark_has_noted_as_done_tells_what_is_complete(tmp_path: Path) -> None:
    assert completed_logs(tmp_path) == 0
    note(tmp_path, 0, 1, complete=False)
    assert completed_logs(tmp_path) == 0
    for batch in range(12):
        note(tmp_path, batch, batch + 1, complete=True)
    note(tmp_path, 12, 13, complete=False)
    assert completed_logs(tmp_path) == 12


@pytest.mark.parametrize("content", [None, b"", b"v1\n{}\n-", b"v1\n{}\n{}", b"\xff"])
def test_a_note_of_spark_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    note(tmp_path, 0, 1, complete=True)
    (tmp_path / "offsets" / "0").unlink()
    if content is not None:
        put(tmp_path / "offsets" / "0", content)
    with pytest.raises(SparkdlError, match=r"damaged at .*offsets/0"):
        completed_logs(tmp_path)


# --- where an archive may be -------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["archive", "deep/archive", "watched/.archive", "watched/.a/b", "watched/a/.b/c"])
def test_an_archive_may_be_beside_the_directory_or_hidden_in_it(tmp_path: Path, watched: Path, place: str) -> None:
    check_archive(watched, tmp_path / place)
    assert list(tmp_path.iterdir()) == [watched]  # asking makes nothing


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("watched", "contains the watched directory"),
        (".", "contains the watched directory"),
        ("watched/done", r"is in the watched directory.* such as .*watched/\.archive"),
        ("link/done", "is in the watched directory"),
        ("file", "expected a directory, received the file .*file"),
        ("file/archive", "expected a directory, received the file .*file"),
    ],
)
def test_an_archive_elsewhere_is_refused(tmp_path: Path, watched: Path, place: str, words: str) -> None:
    (tmp_path / "link").symlink_to(watched)
    (tmp_path / "file").touch()
    with pytest.raises(RequestError, match=f"^--archive-dir: .*{words}"):
        check_archive(watched, tmp_path / place)


def test_an_archive_on_another_file_system_is_refused(watched: Path) -> None:
    places = [place for place in map(Path, ("/dev/shm", "/proc")) if place.is_dir()]
    other = next((place for place in places if place.stat().st_dev != watched.stat().st_dev), None)
    need(other, "no file system but that of the temporary directory: neither /dev/shm nor /proc")
    assert other is not None
    with pytest.raises(RequestError, match="on another file system than"):
        check_archive(watched, other / "archive")
