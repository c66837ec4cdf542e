"""Promises of `balance_partitions`: tasks that read a micro-batch get parts of similar weight."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streaming.sources.directory.listing import WatchedFile
from streaming.sources.directory.reader import balance_partitions

SIZES = st.lists(st.integers(0, 1 << 30), max_size=60)


@given(sizes=SIZES, count=st.integers(1, 20))
def test_each_file_is_in_exactly_one_part(sizes: list[int], count: int) -> None:
    files = [WatchedFile(f"{number}.png", size, number) for number, size in enumerate(sizes)]
    parts = balance_partitions(files, count)
    assert sorted((file for part in parts for file in part), key=lambda file: file.modified_ns) == files
    assert len(parts) == min(count, len(files))
    assert all(parts)


@given(sizes=SIZES, count=st.integers(1, 20))
def test_no_part_is_heavier_than_another_by_more_than_one_file(sizes: list[int], count: int) -> None:
    files = [WatchedFile(f"{number}.png", size, 0) for number, size in enumerate(sizes)]
    opening = 4096
    for part in (parts := balance_partitions(files, count)):
        heavier = sum(file.size + opening for file in part) - min(file.size + opening for file in part)
        assert all(heavier <= sum(file.size + opening for file in other) for other in parts)
