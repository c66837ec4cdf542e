"""Promises of `sparkdl.system.files`: files are written whole or not at all, and no more is read than is allowed."""

from __future__ import annotations

import os
import resource
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from sparkdl.system.files import create_atomically, read_beginning, replacing, write_atomically


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_atomically(path, "first ü")
    write_atomically(path, b"second", sync=True)
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("first")
    with pytest.raises(TypeError):
        write_atomically(path, [])  # type: ignore[arg-type]
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_partial_file_ends_as_its_file_and_is_hidden(tmp_path: Path) -> None:
    with replacing(tmp_path / "state.keras") as partial:
        assert partial.parent == tmp_path
        assert partial.name.startswith(".")
        assert partial.suffix == ".keras"
        partial.write_text("state")
    assert (tmp_path / "state.keras").read_text() == "state"


def test_a_link_at_the_name_of_a_partial_file_is_not_written_through(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / ".partial").symlink_to(victim)
    write_atomically(tmp_path / "file", "content", partial=".partial")
    assert victim.read_text() == "mine"
    assert (tmp_path / "file").read_text() == "content"
    assert not (tmp_path / "file").is_symlink()


def test_a_name_that_is_taken_is_not_replaced(tmp_path: Path) -> None:
    assert create_atomically(tmp_path / "file", "first")
    assert not create_atomically(tmp_path / "file", "second")
    assert (tmp_path / "file").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_of_several_threads_that_create_a_file_one_does(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: create_atomically(tmp_path / "file", str(number) * 100_000), range(8)))
    assert sum(made) == 1
    assert (tmp_path / "file").read_text() == str(made.index(True)) * 100_000


@pytest.mark.parametrize(("length", "read"), [(0, 0), (9, 9), (10, 10), (11, 11), (12, 11), (500, 11)])
def test_at_most_one_byte_more_than_is_allowed_is_read(tmp_path: Path, length: int, read: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(length))
    assert read_beginning(path, 10) == (bytes(read), length)


def test_what_is_gone_or_no_file_has_neither_bytes_nor_size(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "gone", tmp_path, tmp_path / "file" / "below"):
        assert read_beginning(place, 10) == (None, None)


def test_only_a_regular_file_is_read_and_nothing_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "itself").symlink_to("itself")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    (tmp_path / "memory").symlink_to("/proc/self/mem")
    for name in ("fifo", "itself", "zeros"):
        assert read_beginning(tmp_path / name, 10) == (None, None)
    assert read_beginning(tmp_path / "memory", 10) == (b"", 0)  # its size is 0, whatever could be read


def test_a_lack_of_descriptors_is_no_fault_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, limits[1]))
        with suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        with pytest.raises(OSError, match="Too many open files"):
            read_beginning(tmp_path / "file", 10)
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert read_beginning(tmp_path / "file", 10) == (b"content", 7)
