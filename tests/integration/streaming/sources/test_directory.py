"""Promises of `streaming.sources.directory.reader`: every file below a watched directory becomes one row, whatever it
is like.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from folders import bury
from pyspark.sql import SparkSession
from pyspark.sql.datasource import DataSourceStreamReader
from pyspark.sql.streaming.datasource import ReadAllAvailable, ReadMaxFiles

from streaming.schemas import INPUT_RECORD
from streaming.sources.directory.file_log import FILES, FileLog
from streaming.sources.directory.listing import WatchedFile
from streaming.sources.directory.reader import NAME, DirectoryDataSource


def touch(path: Path, payload: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(payload)
    return path


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    directory = tmp_path / "watched"
    directory.mkdir()
    return directory


def open_reader(watched: Path, max_files: int = 1000, max_bytes: int = 1000) -> DataSourceStreamReader:
    """The stream's reader on `watched`, as Spark makes it; the same progress each time."""
    options = {
        "path": str(watched),
        "checkpoint": str(watched.parent),
        "maxFilesPerTrigger": str(max_files),
        "maxBytes": str(max_bytes),
        "parallelism": "2",
        "stableAfter": "0",
    }
    return DirectoryDataSource(options).streamReader(INPUT_RECORD)


def plan(reader: DataSourceStreamReader, start: dict[str, int] | None = None) -> dict[str, int]:
    """The end of the micro-batch that follows `start`."""
    return reader.latestOffset(start or reader.initialOffset(), reader.getDefaultReadLimit())


def rows_between(reader: DataSourceStreamReader, start: dict[str, int], end: dict[str, int]) -> list[dict[str, Any]]:
    rows = [
        row
        for partition in reader.partitions(start, end)
        for batch in reader.read(partition)
        for row in batch.to_pylist()
    ]
    return sorted(rows, key=lambda row: row["id"])


def rows_of_everything(reader: DataSourceStreamReader) -> list[dict[str, Any]]:
    return rows_between(reader, reader.initialOffset(), plan(reader))


# --- a backlog ----------------------------------------------------------------------------------------------------


def test_of_a_backlog_what_has_changed_or_gone_meanwhile_is_read_as_it_is_now(watched: Path) -> None:
    for number in range(9):
        os.utime(touch(watched / f"{number}.png"), (number, number))
    reader, start = open_reader(watched, max_files=2), {"logs": 0}
    found: list[tuple[str, int]] = []
    while (end := plan(reader, start)) != start:
        found += [(row["id"], row["size"]) for row in rows_between(reader, start, end)]
        start = end
        (watched / "5.png").unlink(missing_ok=True)
        if len(found) == 2:
            touch(watched / "4.png", b"longer")
            touch(watched / "new.png", b"new")
    assert sorted(found) == sorted([*((f"{n}.png", 1) for n in (0, 1, 2, 3, 6, 7, 8)), ("4.png", 6), ("new.png", 3)])


# --- names -------------------------------------------------------------------------------------------------------

ODD_NAMES = (
    "with space.png",
    "[a-z]*?.png",
    "{a,b}.png",
    "100%25.png",
    "a#b?c&d.png",
    "a:b.png",
    "back\\slash.png",
    "new\nline.png",
    "অঙ্ক-০১২৩.png",
    "☃ ½.png",
    "n" * 251 + ".png",
)


@pytest.mark.parametrize("name", ODD_NAMES, ids=range(len(ODD_NAMES)))
def test_a_file_of_any_name_is_read_under_its_name(watched: Path, name: str) -> None:
    path = touch(watched / name, b"content")
    (row,) = rows_of_everything(open_reader(watched))
    assert row["id"] == name
    assert row["payload"] == b"content"
    assert unquote_to_bytes(row["origin"].removeprefix("file:")) == os.fsencode(path)


def test_a_name_that_is_not_utf8_is_read_and_written_with_escapes(watched: Path) -> None:
    path = os.fsencode(watched) + b"/\xff\xe0.png"
    try:
        Path(os.fsdecode(path)).write_bytes(b"content")
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    (row,) = rows_of_everything(open_reader(watched))
    assert row["id"] == r"\xff\xe0.png"
    assert row["payload"] == b"content"
    assert unquote_to_bytes(row["origin"].removeprefix("file:")) == path


def test_an_origin_is_a_uri(watched: Path) -> None:
    touch(watched / "a b%.png")
    (row,) = rows_of_everything(open_reader(watched))
    assert row["origin"] == f"{watched.as_uri().replace('file://', 'file:')}/a%20b%25.png"


# --- what was seen -----------------------------------------------------------------------------------------------


def test_a_file_is_seen_once(watched: Path) -> None:
    touch(watched / "a.png")
    reader = open_reader(watched)
    first = plan(reader)
    assert plan(reader, first) == first
    touch(watched / "b.png")
    second = plan(reader, first)
    assert [row["id"] for row in rows_between(reader, first, second)] == ["b.png"]


def test_a_restarted_reader_knows_what_was_seen(watched: Path) -> None:
    touch(watched / "a.png")
    first = plan(open_reader(watched))
    touch(watched / "b.png")
    reader = open_reader(watched)
    second = plan(reader, first)
    assert [row["id"] for row in rows_between(reader, first, second)] == ["b.png"]


def test_a_log_without_a_micro_batch_becomes_the_next_one_as_it_is(watched: Path) -> None:
    touch(watched / "a.png")
    planned = plan(open_reader(watched))  # and then the process died, before Spark had noted the micro-batch
    touch(watched / "b.png")
    reader = open_reader(watched)
    again = plan(reader)
    assert again == planned
    assert [row["id"] for row in rows_between(reader, reader.initialOffset(), again)] == ["a.png"]
    following = plan(reader, again)
    assert [row["id"] for row in rows_between(reader, again, following)] == ["b.png"]


def test_the_oldest_files_come_first_and_no_more_than_the_limit(watched: Path) -> None:
    for name, age in (("new.png", 1), ("old.png", 3), ("older.png", 4), ("middle.png", 2)):
        os.utime(touch(watched / name), (1_700_000_000 - age,) * 2)
    reader = open_reader(watched, max_files=2)
    assert reader.getDefaultReadLimit() == ReadMaxFiles(2)
    first = plan(reader)
    assert [row["id"] for row in rows_between(reader, reader.initialOffset(), first)] == ["old.png", "older.png"]
    second = plan(reader, first)
    assert [row["id"] for row in rows_between(reader, first, second)] == ["middle.png", "new.png"]


def test_a_micro_batch_keeps_to_the_limit_where_the_trigger_asks_for_all(watched: Path) -> None:
    for number in range(5):
        touch(watched / f"{number}.png")
    reader = open_reader(watched, max_files=2)
    end = reader.latestOffset(reader.initialOffset(), ReadAllAvailable())
    assert len(rows_between(reader, reader.initialOffset(), end)) == 2


def test_a_micro_batch_of_large_files_has_fewer_of_them(watched: Path) -> None:
    for number in range(6):
        touch(watched / f"{number}.png")
        os.truncate(watched / f"{number}.png", 60 << 20)  # no bytes on the disk
    files = FileLog(watched.parent / FILES)
    reader = open_reader(watched, max_bytes=50 << 20)
    assert len(files.read(plan(reader)["logs"])) == 2  # of 50 MiB each
    assert len(files.read(plan(open_reader(watched, max_bytes=200 << 20), {"logs": 1})["logs"])) == 2


def test_available_now_leaves_out_what_comes_later(watched: Path) -> None:
    touch(watched / "a.png")
    reader = open_reader(watched)
    reader.prepareForTriggerAvailableNow()
    touch(watched / "b.png")
    end = plan(reader)
    assert [row["id"] for row in rows_between(reader, reader.initialOffset(), end)] == ["a.png"]
    assert plan(reader, end) == end


# --- what is read ------------------------------------------------------------------------------------------------


def test_a_row_has_the_files_bytes_size_folder_and_time(watched: Path) -> None:
    os.utime(touch(watched / "7" / "a.png", b"12345"), ns=(0, 1_700_000_000_123_456_000))
    (row,) = rows_of_everything(open_reader(watched))
    assert list(row) == INPUT_RECORD.names
    assert row["payload"] == b"12345"
    assert row["size"] == 5
    assert row["label"] == "7"
    assert row["produced_at"] == datetime(2023, 11, 14, 22, 13, 20, 123456, UTC)


def test_an_empty_file_is_a_row_of_no_bytes(watched: Path) -> None:
    touch(watched / "a.png", b"")
    (row,) = rows_of_everything(open_reader(watched))
    assert row["payload"] == b""
    assert row["size"] == 0


def test_a_file_as_long_as_the_limit_is_read_whole(watched: Path) -> None:
    touch(watched / "a.png", bytes(100))
    (row,) = rows_of_everything(open_reader(watched, max_bytes=100))
    assert row["payload"] == bytes(100)


def test_of_a_file_over_the_limit_one_byte_more_is_read_and_its_size_is_told(watched: Path) -> None:
    with (watched / "a.png").open("wb") as file:
        file.truncate(5 << 30)  # 5 GiB that take no room, and that no Arrow array could hold
    (row,) = rows_of_everything(open_reader(watched, max_bytes=100))
    assert row["payload"] == bytes(101)
    assert row["size"] == 5 << 30


def test_arrow_batches_stay_small_also_when_files_grew_after_they_were_listed(watched: Path) -> None:
    for number in range(5):
        touch(watched / f"{number}.png", b"")
    reader = open_reader(watched, max_bytes=32 << 20)
    end = plan(reader)
    for number in range(5):
        touch(watched / f"{number}.png", bytes(9 << 20))
    batches = [batch for part in reader.partitions(reader.initialOffset(), end) for batch in reader.read(part)]
    assert sum(batch.num_rows for batch in batches) == 5
    assert max(batch.nbytes for batch in batches) < 20 << 20


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_parent_by_file(path: Path) -> None:
    path.unlink()
    path.parent.rmdir()
    path.parent.write_bytes(b"")


@pytest.mark.parametrize("vanish", [Path.unlink, replace_by_folder, replace_parent_by_file])
def test_a_file_that_is_gone_when_it_is_read_is_a_row_without_bytes(watched: Path, vanish: Any) -> None:
    path = touch(watched / "7" / "a.png")
    reader = open_reader(watched)
    end = plan(reader)
    vanish(path)
    (row,) = rows_between(reader, reader.initialOffset(), end)
    assert row["id"] == "7/a.png"
    assert row["payload"] is None
    assert row["size"] is None


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's right to read what is closed."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_that_may_not_be_read_is_a_row_without_bytes(watched: Path) -> None:
    touch(watched / "a.png").chmod(0)
    reader = open_reader(watched)
    end = plan(reader)
    partitions = reader.partitions(reader.initialOffset(), end)
    with as_nobody():
        (row,) = [row for part in partitions for batch in reader.read(part) for row in batch.to_pylist()]
    assert row["id"] == "a.png"
    assert row["payload"] is None


@pytest.mark.parametrize("year", [1912, 2016, 2300])
def test_a_file_of_any_time_is_read(watched: Path, year: int) -> None:
    at = datetime(year, 5, 6, 7, 8, 9, tzinfo=UTC)
    path = touch(watched / "a.png")
    os.utime(path, (at.timestamp(),) * 2)
    if path.stat().st_mtime != at.timestamp():
        pytest.skip(f"this file system keeps no time of {year}")
    (row,) = rows_of_everything(open_reader(watched))
    assert row["produced_at"] == at


@pytest.mark.parametrize("seconds", [-(1 << 50), 1 << 50])
def test_a_time_that_no_calendar_has_is_no_time(watched: Path, seconds: int) -> None:
    touch(watched / "a.png")
    log = FileLog(watched.parent / FILES)
    log.append([WatchedFile("a.png", 1, seconds * 10**9)])  # as a file system with 64 bits of seconds lists it
    (row,) = rows_of_everything(open_reader(watched))
    assert row["payload"] == b"x"
    assert row["produced_at"] is None


# --- through Spark -----------------------------------------------------------------------------------------------


def test_spark_reads_every_file_once_over_two_runs_of_a_stream(
    spark: SparkSession, watched: Path, tmp_path: Path
) -> None:
    ten_years_ago = datetime.now(UTC).timestamp() - 10 * 365 * 86_400

    def run() -> list[Any]:
        """The rows that one run of the stream on its checkpoint brings."""
        query = (
            spark.readStream.format(NAME)
            .options(
                checkpoint=str(tmp_path / "checkpoint"),
                maxFilesPerTrigger=2,
                maxBytes=100,
                parallelism=2,
                stableAfter=0,
            )
            .load(str(watched))
            .writeStream.format("parquet")
            .option("checkpointLocation", str(tmp_path / "checkpoint"))
            .trigger(availableNow=True)
            .start(str(tmp_path / "rows"))
        )
        query.awaitTermination()
        return spark.read.schema(INPUT_RECORD).parquet(str(tmp_path / "rows")).orderBy("id").collect()

    spark.dataSource.register(DirectoryDataSource)
    touch(watched / "empty.png", b"")
    touch(watched / "new.png")
    touch(watched / "7" / "long.png", bytes(300))
    assert [row["id"] for row in run()] == ["7/long.png", "empty.png", "new.png"]
    os.utime(touch(watched / "old [1] %41 ৭.png", b"old"), (ten_years_ago,) * 2)
    long, empty, new, old = run()
    assert (len(long["payload"]), long["size"], long["label"]) == (101, 300, "7")
    assert (bytes(empty["payload"]), empty["size"], empty["label"]) == (b"", 0, None)
    assert (bytes(new["payload"]), new["size"]) == (b"x", 1)
    assert (old["id"], bytes(old["payload"])) == ("old [1] %41 ৭.png", b"old")
    assert old["produced_at"].timestamp() == pytest.approx(ten_years_ago, abs=1e-5)
    logs = [json.loads((tmp_path / "checkpoint" / FILES / f"{number}.json").read_text()) for number in (1, 2, 3)]
    assert [len(log) for log in logs] == [2, 1, 1]


def test_a_file_whose_path_is_too_long_to_open_is_logged_once_and_the_others_are_read(
    watched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(watched / "a.png")
    bury(watched, b"x")
    reader = open_reader(watched)
    end = plan(reader)
    touch(watched / "b.png")
    rows = rows_between(reader, reader.initialOffset(), plan(reader, end))
    assert [row["id"] for row in rows] == ["a.png", "b.png"]
    (line,) = capsys.readouterr().err.splitlines()
    logged = json.loads(line)
    assert (logged["level"], logged["event"], logged["reason"]) == (
        "warning",
        "not listed, so not read",
        os.strerror(errno.ENAMETOOLONG),
    )
