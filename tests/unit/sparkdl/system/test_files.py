"""Promises of `sparkdl.system.files`: a URI leads back to its file, and no more is read than is admitted."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkdl.system.files import origin_of, path_of, read_beginning


@given(st.binary(min_size=1).filter(lambda name: b"\0" not in name))
def test_a_uri_leads_back_to_a_path_of_any_bytes(name: bytes) -> None:
    origin = origin_of(os.fsdecode(name))
    assert origin.startswith("file:")
    assert origin.isascii()
    assert os.fsencode(path_of(origin)) == name


@pytest.mark.parametrize(("length", "read"), [(0, 0), (9, 9), (10, 10), (11, 11), (12, 11), (500, 11)])
def test_at_most_one_byte_more_than_is_admitted_is_read(tmp_path: Path, length: int, read: int) -> None:
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
