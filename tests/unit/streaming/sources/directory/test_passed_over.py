"""Promises of a watched directory about what it leaves out: it is recorded for others, and read when it can be."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from another_user import UID, shared_directory
from needs import need

from sparkdl.system.left_out import LeftOut, Why
from streaming.schemas import INPUT_RECORD
from streaming.sources.directory.file_log import FILES, FileLog
from streaming.sources.directory.passed_over import PassedOver, read_left_out
from streaming.sources.directory.reader import DirectoryDataSource


class Planner:
    """The planner of a stream's micro-batches, as Spark calls it."""

    def __init__(self, root: Path, *ignore: str) -> None:
        options = {"path": root / "watched", "checkpoint": root / "checkpoint", "maxFilesPerTrigger": 10}
        options |= {"maxBytes": 1000, "parallelism": 1, "stableAfter": 0, "ignore": json.dumps(ignore)}
        given: Any = {name: str(value) for name, value in options.items()}
        self._reader: Any = DirectoryDataSource(given).streamReader(INPUT_RECORD)
        self._log = root / "checkpoint" / FILES
        self._offset = self._reader.initialOffset()

    def next(self) -> list[str]:
        """The names of the next micro-batch."""
        start, self._offset = self._offset, self._reader.latestOffset(self._offset, self._reader.getDefaultReadLimit())
        if self._offset == start:
            return []
        return sorted(file.name for file in FileLog(self._log).read(self._offset["logs"]))

    @property
    def left_out(self) -> dict[Why, tuple[int, list[str]]]:
        reasons = read_left_out(self._log).reasons
        return {why: (named.count, sorted(named.names)) for why, named in reasons.items()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "watched" / "7").mkdir(parents=True)
    (tmp_path / "checkpoint").mkdir()
    return tmp_path


def test_a_download_is_read_once_under_its_last_name(root: Path) -> None:
    planner, partial = Planner(root), root / "watched" / "7" / "x.png.part"
    partial.write_bytes(b"half")
    assert planner.next() == []
    assert planner.left_out == {Why.TEMPORARY: (1, ["7/x.png.part"])}
    partial.rename(partial.with_suffix(""))
    assert planner.next() == ["7/x.png"]
    assert planner.next() == []
    assert planner.left_out == {}


def test_everything_else_is_read_whatever_it_is(root: Path) -> None:
    names = ["7/_DSC0001.JPG", "_background_/notes.txt", "IMG_1", "empty"]
    for name in names:
        (root / "watched" / name).parent.mkdir(exist_ok=True)
        (root / "watched" / name).touch()
    planner = Planner(root)
    assert planner.next() == sorted(names)
    assert planner.left_out == {}


def test_patterns_leave_out_more_and_each_reason_is_counted(root: Path) -> None:
    for name in (".hidden", "a.bak", "b.bak", "7/a.png", "raw.png"):
        (root / "watched" / name).touch()
    (root / "watched" / "raw").mkdir()
    (root / "watched" / "raw" / "b.png").touch()
    (root / "watched" / "link").symlink_to(root)
    planner = Planner(root, "*.bak", "raw/")
    assert planner.next() == ["7/a.png", "raw.png"]
    assert planner.left_out == {
        Why.HIDDEN: (1, [".hidden"]),
        Why.IGNORED: (3, ["a.bak", "b.bak", "raw/"]),
        Why.NOT_REGULAR: (1, ["link/"]),
    }


def test_an_unreadable_folder_is_said_once_counted_and_read_later(capsys: pytest.CaptureFixture[str]) -> None:
    need(os.geteuid() == 0, "only root can become another user")
    with shared_directory() as root:
        for folder in ("watched", "watched/open", "watched/closed", "checkpoint"):
            (root / folder).mkdir()
            (root / folder).chmod(0o777)
        (root / "watched" / "open" / "a.png").touch()
        (root / "watched" / "closed" / "b.png").touch()
        (root / "watched" / "closed").chmod(0o700)
        os.seteuid(UID)
        try:
            planner = Planner(root)
            assert (planner.next(), planner.next()) == (["open/a.png"], [])
            assert planner.left_out == {Why.UNREADABLE: (1, ["closed/"])}
            os.seteuid(0)
            (root / "watched" / "closed").chmod(0o755)
            os.seteuid(UID)
            assert planner.next() == ["closed/b.png"]
            assert planner.left_out == {}
        finally:
            os.seteuid(0)
    (line,) = capsys.readouterr().err.splitlines()
    logged = json.loads(line)
    assert (logged["event"], logged["path"], logged["reason"]) == (
        "not listed, so not read",
        "closed/",
        "Permission denied",
    )


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b'{"hidden": 1}', b'{"unknown": [1, []]}', b'{"hidden": ["x", []]}', b"x" * 100_000]
)
def test_a_damaged_record_is_no_record(tmp_path: Path, content: bytes) -> None:
    assert read_left_out(tmp_path) == LeftOut()
    (tmp_path / "left-out.json").write_bytes(content)
    assert read_left_out(tmp_path) == LeftOut()


def test_a_record_is_written_only_if_it_changes(tmp_path: Path) -> None:
    left_out = LeftOut()
    record = PassedOver(tmp_path)
    record.record(left_out)
    assert list(tmp_path.iterdir()) == []
    left_out.add(Why.HIDDEN, ".x")
    record.record(left_out)
    written = (tmp_path / "left-out.json").stat().st_ino
    again = LeftOut()
    again.add(Why.HIDDEN, ".x")
    record.record(again)
    assert (tmp_path / "left-out.json").stat().st_ino == written
    assert read_left_out(tmp_path) == left_out
