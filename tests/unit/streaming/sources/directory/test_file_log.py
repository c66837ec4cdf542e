"""Promises of `streaming.sources.directory.file_log`: what was taken is remembered, in files whose number and size have
a bound.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from sparkdl.errors import SparkdlError
from sparkdl.system.ignored_names import IgnoredNames
from streaming.sources.directory.file_log import FileLog
from streaming.sources.directory.file_log_state import FORGET_AFTER, RETAINED
from streaming.sources.directory.listing import WatchedFile

NOW = 1_800_000_000.0
DAY = 86_400.0


def listed(*names: str) -> list[WatchedFile]:
    return [WatchedFile(name, 1, 2, 3) for name in names]


def take_many(log: FileLog, count: int) -> set[str]:
    """Takes `count` files, each in a separate log, and returns their names."""
    return {f"{log.append(listed(f'{log.last:04d}.png')) - 1:04d}.png" for _ in range(count)}


def known(directory: Path, names: Iterable[str]) -> set[str]:
    """Which of `names` a restarted process has log."""
    log = FileLog(directory)
    return {name for name in names if name in log}


def logs(directory: Path) -> list[int]:
    return sorted(int(path.stem) for path in directory.glob("*.json") if path.stem.isdecimal())


# --- logs --------------------------------------------------------------------------------------------------------


def test_logs_are_numbered_from_one(tmp_path: Path) -> None:
    log = FileLog(tmp_path / "log")
    assert log.last == 0
    files = [listed("a.png"), listed("\udcff.png", "০.png")]
    assert [log.append(part) for part in files] == [1, 2]
    assert FileLog(tmp_path / "log").last == 2
    assert [FileLog(tmp_path / "log").read(number) for number in (1, 2)] == files


def test_a_log_that_was_cut_off_while_it_was_written_does_not_count(tmp_path: Path) -> None:
    FileLog(tmp_path).append(listed("a.png"))
    (tmp_path / ".2.json.4711").write_text('[["b.p')
    log = FileLog(tmp_path)
    assert log.last == 1
    assert log.append(listed("c.png")) == 2
    assert log.read(2) == listed("c.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.json", "2.json"]


def test_logs_are_put_in_order_by_number(tmp_path: Path) -> None:
    log = FileLog(tmp_path)
    assert [log.append([]) for _ in range(11)] == list(range(1, 12))
    assert log.last == 11


# --- names -------------------------------------------------------------------------------------------------------


def test_what_was_taken_is_seen_also_by_the_next_process(tmp_path: Path) -> None:
    log = FileLog(tmp_path)
    assert "a.png" not in log
    log.append(listed("a.png", "b.png"))
    assert "a.png" in log
    assert known(tmp_path, ["a.png", "b.png", "c.png"]) == {"a.png", "b.png"}


def test_logs_stay_bounded_and_no_name_is_lost(tmp_path: Path) -> None:
    log, names = FileLog(tmp_path), set[str]()
    for _ in range(3 * RETAINED + 50):
        names |= take_many(log, 1)
        log.compact(names, NOW)
        assert len(logs(tmp_path)) <= 2 * RETAINED
    assert logs(tmp_path)[-RETAINED:] == list(range(2 * RETAINED + 51, 3 * RETAINED + 51))
    assert known(tmp_path, names) == names
    assert FileLog(tmp_path).append(listed("next.png")) == 3 * RETAINED + 51


def test_names_are_written_down_once_in_a_hundred_logs(tmp_path: Path) -> None:
    log = FileLog(tmp_path)
    names = take_many(log, RETAINED - 1)
    log.compact(names, NOW)
    assert not (tmp_path / "seen.json").exists()
    names |= take_many(log, 1)
    log.compact(names, NOW)
    assert json.loads((tmp_path / "seen.json").read_text())["logs"] == RETAINED


def compacted(directory: Path, listed_names: set[str], now: float) -> FileLog:
    """A restarted process, after it took as many files as it takes to write the names down again."""
    log = FileLog(directory)
    names = take_many(log, RETAINED)
    log.compact(listed_names | names, now)
    return log


def test_a_name_that_is_gone_for_a_week_is_forgotten(tmp_path: Path) -> None:
    FileLog(tmp_path).append(listed("gone.png", "here.png"))
    assert "gone.png" in compacted(tmp_path, {"here.png"}, NOW)
    assert "gone.png" in compacted(tmp_path, {"here.png"}, NOW + FORGET_AFTER - 1)
    assert "gone.png" not in compacted(tmp_path, {"here.png"}, NOW + FORGET_AFTER)
    assert known(tmp_path, ["gone.png", "here.png"]) == {"here.png"}


def test_a_name_that_is_ignored_is_not_forgotten(tmp_path: Path) -> None:
    FileLog(tmp_path).append(listed("raw/old.png", "gone.png"))
    for now in (NOW, NOW + FORGET_AFTER):
        log = FileLog(tmp_path)
        log.compact(take_many(log, RETAINED), now, IgnoredNames(["raw/"]).covers)
    assert known(tmp_path, ["raw/old.png", "gone.png"]) == {"raw/old.png"}


def test_a_name_that_was_back_in_between_is_not_forgotten(tmp_path: Path) -> None:
    FileLog(tmp_path).append(listed("a.png"))
    log = compacted(tmp_path, set(), NOW)
    log.compact({"a.png"}, NOW + DAY)
    names = take_many(log, RETAINED)
    log.compact(names, NOW + 8 * DAY)
    assert "a.png" in compacted(tmp_path, names, NOW + 14 * DAY)
    assert "a.png" not in compacted(tmp_path, names, NOW + 15 * DAY)


def test_a_directory_that_is_empty_for_a_moment_forgets_nothing(tmp_path: Path) -> None:
    log = FileLog(tmp_path)
    names = take_many(log, RETAINED)
    log.compact(set(), NOW)
    assert known(tmp_path, names) == names


# --- names of files that are removed after they were read --------------------------------------------------------


def test_a_name_that_was_removed_is_forgotten_and_one_that_was_left_is_not(tmp_path: Path) -> None:
    log = FileLog(tmp_path)
    log.begin_cleanup(0)
    log.append(listed("gone.png", "left.png"))
    log.append(listed("next.png"))
    log.record_cleanup(1, ["gone.png"], ["left.png"])
    for process in (log, FileLog(tmp_path)):
        assert [name in process for name in ("gone.png", "left.png", "next.png")] == [False, True, True]
        assert process.done == 1


def test_a_name_may_be_removed_and_taken_many_times(tmp_path: Path) -> None:
    log = FileLog(tmp_path)
    log.begin_cleanup(0)
    for number in range(1, 5):
        assert log.append(listed("a.png")) == number
        assert known(tmp_path, ["a.png"]) == {"a.png"}
        log.record_cleanup(number, ["a.png"], [])
        assert known(tmp_path, ["a.png"]) == set()


def test_names_that_were_left_outlive_the_logs(tmp_path: Path) -> None:
    log = FileLog(tmp_path)
    log.begin_cleanup(0)
    for number in range(3 * RETAINED):
        log.append(listed(f"{number}-gone.png", f"{number}-left.png"))
        log.record_cleanup(number, *([f"{number - 1}-{what}.png"] * (number > 0) for what in ("gone", "left")))
        log.compact({f"{n}-left.png" for n in range(number + 1)}, NOW)
        assert len(logs(tmp_path)) <= 2 * RETAINED + 1
    every = [f"{number}-{what}.png" for number in range(3 * RETAINED) for what in ("gone", "left")]
    last = f"{3 * RETAINED - 1}-gone.png"  # of a log that is not complete
    assert known(tmp_path, every) == {*(name for name in every if "left" in name), last}


def test_what_an_earlier_stream_kept_stays_seen_when_removing_begins_and_ends(tmp_path: Path) -> None:
    FileLog(tmp_path).append(listed("kept.png"))
    log = FileLog(tmp_path)
    log.append(listed("planned.png"))
    log.begin_cleanup(1)
    log.record_cleanup(2, ["planned.png"], [])
    assert known(tmp_path, ["kept.png", "planned.png"]) == {"kept.png"}
    log = FileLog(tmp_path)
    log.append(listed("third.png"))
    log.end_cleanup()
    assert FileLog(tmp_path).done is None
    assert known(tmp_path, ["kept.png", "planned.png", "third.png"]) == {"kept.png", "third.png"}


# --- damage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"{", b"7", b'[["a.png"]]', b'{"logs": 1}', b"\xff"])
@pytest.mark.parametrize("name", ["1.json", "seen.json", "done.json"])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, name: str, content: bytes) -> None:
    log = FileLog(tmp_path)
    log.begin_cleanup(0)
    log.append(listed("a.png"))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SparkdlError, match=f"damaged at {tmp_path / name} .*restore it from a copy, or start again"):
        FileLog(tmp_path)


def test_a_missing_log_is_not_taken_for_one_that_never_was(tmp_path: Path) -> None:
    take_many(FileLog(tmp_path), 3)
    (tmp_path / "2.json").unlink()
    with pytest.raises(SparkdlError, match=r"damaged at .*2\.json .*No such file"):
        FileLog(tmp_path)
