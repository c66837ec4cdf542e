"""Progress of a step whose images are counted by other processes."""

from __future__ import annotations

import time
from pathlib import Path

from training.data.dataframes import _count
from training.fitting.progress import reported


def test_the_images_that_were_read_are_reported_until_all_were(tmp_path: Path) -> None:
    reports: list[tuple[str, int, int]] = []

    def wait_for(report: tuple[str, int, int]) -> None:
        until = time.monotonic() + 20
        while report not in reports:
            assert time.monotonic() < until, reports
            time.sleep(0.01)

    tally = tmp_path / "read"
    tally.write_bytes(b"...")  # of an earlier step
    with reported(lambda *report: reports.append(report), "step", "end", tally, 10):
        assert reports == [("step", 0, 10)]
        _count(tally, 4)
        wait_for(("step", 4, 10))
        _count(tally, 7)  # one of them again, after a failure
        wait_for(("end", 0, 0))


def test_without_a_count_only_the_step_is_reported() -> None:
    reports: list[tuple[str, int, int]] = []
    with reported(lambda *report: reports.append(report), "step", "end", None, 10):
        pass
    assert reports == [("step", 0, 0)]


def test_nothing_is_counted_once_the_file_is_gone(tmp_path: Path) -> None:
    _count(tmp_path / "gone", 3)
    assert not (tmp_path / "gone").exists()
