"""Promises of `streaming.sources.directory.listing`: what is listed of a directory, and when a file is still the one
that was listed.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from another_user import UID, shared_directory
from folders import LONGEST_PATH, bury
from needs import need

from sparkdl.system.directory_walk import walk
from sparkdl.system.left_out import Why
from streaming.sources.directory.listing import WatchedFile, list_files, parent_of, stat_file


def touch(path: Path, payload: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(payload)
    return path


def names(directory: Path) -> set[str]:
    return {file.name for file in list_files(directory)}


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    directory = tmp_path / "watched"
    directory.mkdir()
    return directory


def test_files_are_found_at_every_depth_with_their_size_and_time(watched: Path) -> None:
    touch(watched / "a.png", b"123")
    deep = touch(watched / "one" / "two" / "b.png", b"")
    os.utime(deep, ns=(1, 1_700_000_000_123_456_789))
    found = {file.name: file for file in list_files(watched)}
    assert set(found) == {"a.png", "one/two/b.png"}
    assert found["a.png"].size == 3
    inode = deep.stat().st_ino
    assert found["one/two/b.png"] == WatchedFile("one/two/b.png", 0, 1_700_000_000_123_456_789, inode)


def test_names_that_begin_with_a_dot_are_left_out_and_folders_of_such_names_too(watched: Path) -> None:
    touch(watched / ".partial.png")
    touch(watched / ".hidden" / "a.png")
    touch(watched / "shown" / ".b.png")
    touch(watched / "shown" / "b.png")
    assert names(watched) == {"shown/b.png"}


def test_a_linked_file_is_followed_and_a_linked_directory_is_not(watched: Path, tmp_path: Path) -> None:
    elsewhere = touch(tmp_path / "elsewhere" / "a.png", b"1234")
    (watched / "folder").symlink_to(elsewhere.parent)
    (watched / "itself").symlink_to(watched)
    (watched / "file.png").symlink_to(elsewhere)
    assert [(file.name, file.size) for file in list_files(watched)] == [("file.png", 4)]


def test_links_that_lead_nowhere_are_left_out(watched: Path) -> None:
    (watched / "broken.png").symlink_to(watched / "missing.png")
    (watched / "loop.png").symlink_to(watched / "loop.png")
    touch(watched / "a.png")
    assert names(watched) == {"a.png"}


def test_what_is_no_file_is_left_out_and_reported(watched: Path, tmp_path: Path) -> None:
    os.mkfifo(watched / "pipe.png")
    (watched / "empty folder").mkdir()
    (watched / "elsewhere").symlink_to(tmp_path)
    assert names(watched) == set()
    reported: list[tuple[Why, str]] = []
    for entry in walk(watched):
        stat_file(*entry, lambda why, name, _: reported.append((why, name)))
    assert sorted(reported) == [(Why.NOT_REGULAR, "elsewhere/"), (Why.NOT_REGULAR, "pipe.png")]


@pytest.mark.parametrize(
    "name", ["x.png.part", "X.JPG.CRDOWNLOAD", "~x.png", "x.png~", "Thumbs.db", "__MACOSX/._x.png"]
)
def test_temporary_and_system_names_are_left_alone_in_any_letter_case(watched: Path, name: str) -> None:
    touch(watched / "deep" / name)
    touch(watched / "_DSC0001.JPG")
    touch(watched / "_background_" / "notes.txt")
    assert names(watched) == {"_DSC0001.JPG", "_background_/notes.txt"}


def test_a_path_that_is_too_long_to_open_is_reported_and_the_rest_is_listed(watched: Path) -> None:
    touch(watched / "a.png")
    bury(watched, b"x")
    reported: list[tuple[Why, str, OSError | None]] = []
    found = {name for name, _ in walk(watched, on_left_out=lambda *what: reported.append(what))}
    ((why, name, error),) = reported
    assert (found, why) == ({"a.png"}, Why.UNREADABLE)
    assert error is not None
    assert error.errno == errno.ENAMETOOLONG
    assert len(os.fsencode(watched / name)) > LONGEST_PATH


def test_folders_that_may_not_be_listed_or_entered_are_reported() -> None:
    need(os.geteuid() == 0, "only root can become another user")
    with shared_directory() as directory:
        for mode, name in ((0o311, "unlisted"), (0o744, "unentered")):
            touch(directory / name / "a.png").parent.chmod(mode)
        touch(directory / "b.png")
        reported: dict[str, int | None] = {}

        def report(why: Why, name: str, error: OSError | None) -> None:
            assert (why, error is None) == (Why.UNREADABLE, False)
            reported[name] = error and error.errno

        os.seteuid(UID)
        try:
            entries = list(walk(directory, on_left_out=report))
            files = [stat_file(*entry, report) for entry in entries]
        finally:
            os.seteuid(0)
    assert {file.name for file in files if file} == {"b.png"}
    assert reported == {"unlisted/": errno.EACCES, "unentered/a.png": errno.EACCES}


def test_links_that_lead_nowhere_are_not_reported(watched: Path) -> None:
    (watched / "broken.png").symlink_to(watched / "missing.png")
    (watched / "loop.png").symlink_to(watched / "loop.png")
    reported: list[str] = []
    entries = list(walk(watched, on_left_out=lambda why, name, error: reported.append(name)))
    assert [stat_file(*entry, lambda why, name, error: reported.append(name)) for entry in entries] == [None, None]
    assert reported == []


def test_a_watched_directory_that_is_missing_is_an_error(watched: Path) -> None:
    watched.rmdir()
    with pytest.raises(FileNotFoundError):
        names(watched)


@pytest.mark.parametrize(("name", "folder"), [("a.png", None), ("7/a.png", "7"), ("test/7/a.png", "7")])
def test_the_parent_of_a_name_is_the_folder_it_lies_in_directly(name: str, folder: str | None) -> None:
    assert parent_of(name) == folder


def test_a_scan_gives_names_and_looks_at_no_file(watched: Path) -> None:
    touch(watched / "7" / "a.png")
    os.mkfifo(watched / "pipe.png")
    (watched / "broken.png").symlink_to(watched / "missing.png")
    assert {name for name, _ in walk(watched)} == {"7/a.png", "pipe.png", "broken.png"}


# --- the same file or another ------------------------------------------------------------------------------------


@pytest.fixture
def listed(watched: Path) -> WatchedFile:
    touch(watched / "a.png", b"123")
    (file,) = list_files(watched)
    return file


def is_same(listed: WatchedFile, watched: Path) -> bool:
    return listed.is_same((watched / listed.name).stat())


def test_a_file_that_nobody_touched_is_the_same(listed: WatchedFile, watched: Path) -> None:
    assert is_same(listed, watched)


def test_a_file_is_the_same_when_its_copying_program_has_set_its_time_back(listed: WatchedFile, watched: Path) -> None:
    os.utime(watched / "a.png", (1_700_000_000,) * 2)
    assert is_same(listed, watched)


def test_a_file_of_another_size_is_another(listed: WatchedFile, watched: Path) -> None:
    with (watched / "a.png").open("ab") as file:
        file.write(b"4")
    os.utime(watched / "a.png", ns=(0, listed.modified_ns))
    assert not is_same(listed, watched)


def test_a_file_that_changed_later_is_another(listed: WatchedFile, watched: Path) -> None:
    os.utime(watched / "a.png", ns=(0, listed.modified_ns + 1))
    assert not is_same(listed, watched)


def test_an_older_file_that_took_its_place_is_another(listed: WatchedFile, watched: Path) -> None:
    os.utime(touch(watched / "b.png", b"456"), (1_700_000_000,) * 2)
    (watched / "b.png").rename(watched / "a.png")
    assert not is_same(listed, watched)
