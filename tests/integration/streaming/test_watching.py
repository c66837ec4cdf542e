"""Promises of a stream on a watched directory: it waits for files still being written, and clears away what it read."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from streams import Place, digits, encode, encoded_rows, rows_of, wait_until

from sparkdl.errors import SparkdlError
from sparkdl.images.rejection import Limits
from sparkdl.models.registry import ModelVersion, Registry
from streaming.results import UNREADABLE, results
from streaming.schemas import INPUT_RECORD
from streaming.sources.directory.file_log import FILES, FileLog
from streaming.sources.directory.reader import DirectoryDataSource
from training.data.loading import Dataset


@pytest.fixture
def place(tmp_path: Path, registry: Registry) -> Place:
    (tmp_path / "watched").mkdir()
    return Place(tmp_path, registry)


def files(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def dropped(directory: Path, images: dict[str, bytes]) -> None:
    """Each file whole or not at all."""
    for name, content in images.items():
        (directory / f".{name}").write_bytes(content)
        (directory / f".{name}").rename(directory / name)


# --- files that are written while the stream runs ----------------------------------------------------------------

PICTURES = {"slow.png": encode("PNG"), "slow.jpg": encode("JPEG"), "slow.tiff": encode("TIFF")}


@dataclass
class BatchStats(Place):
    """A place after files were written into it slowly, read, and archived."""

    while_writing: list[str] = field(default_factory=list)
    before_the_end: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def written(spark: SparkSession, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> BatchStats:
    place = BatchStats(tmp_path_factory.mktemp("written"), registry)
    place.watched.mkdir()
    job = place.job(spark, stable_after="5s", after_read="archive", archive_dir=place.watched / ".archive")

    def wait_for(*names: str) -> None:
        wait_until(lambda: {*names} <= {*place.ids()} or not job.is_active)

    dropped(place.watched, {"first.png": encode("PNG")})
    wait_for("first.png")
    half_written = {name: (place.watched / name).open("wb") for name in (*PICTURES, "given-up.png")}
    for name, file in half_written.items():
        file.write(PICTURES.get(name, encode("PNG"))[:300])
        file.flush()
    dropped(place.watched, {"second.png": encode("PNG")})
    wait_for("second.png")
    place.while_writing = place.ids()
    for name, content in PICTURES.items():
        half_written[name].write(content[300:])
    for file in half_written.values():
        file.close()
    wait_for("slow.png", "slow.jpg")
    place.before_the_end = place.ids()
    wait_for("slow.tiff", "given-up.png")
    job.stop()
    job.wait()
    return place


def test_a_file_that_is_still_written_is_left_while_others_are_read(written: BatchStats) -> None:
    assert written.while_writing == ["first.png", "second.png"]


def test_a_file_that_was_written_slowly_becomes_a_prediction(written: BatchStats) -> None:
    assert {row["id"] for row in rows_of(written.sink)} == {"first.png", "second.png", *PICTURES}


def test_a_complete_picture_does_not_wait_for_its_time_to_pass(written: BatchStats) -> None:
    assert {"slow.png", "slow.jpg"} <= set(written.before_the_end)
    assert "slow.tiff" not in written.before_the_end


def test_a_file_that_nobody_ends_becomes_a_dead_letter(written: BatchStats) -> None:
    (row,) = rows_of(written.sink, "dead_letters")
    assert (row["id"], row["reason"], row["payload"]) == ("given-up.png", "truncated", encode("PNG")[:300])


def test_all_files_are_in_the_archive_when_the_stream_has_ended(written: BatchStats) -> None:
    whole = {name: encode("PNG") for name in ("first.png", "second.png")}
    archived = whole | PICTURES | {"given-up.png": encode("PNG")[:300]}
    assert files(written.watched / ".archive") == archived
    assert [path.name for path in written.watched.iterdir()] == [".archive"]


def test_a_name_of_the_archive_that_comes_back_is_another_image_with_the_same_id(
    written: BatchStats, spark: SparkSession
) -> None:
    before = written.ids()
    (written.watched / ".archive" / "first.png").rename(written.watched / "first.png")
    written.run_to_the_end(spark, after_read="delete")
    assert written.ids() == sorted([*before, "first.png"])
    assert [path.name for path in written.watched.iterdir()] == [".archive"]
    written.run_to_the_end(spark, after_read="delete")
    assert len(written.ids()) == len(before) + 1


# --- after reading -----------------------------------------------------------------------------------------------


def test_no_file_of_a_micro_batch_that_failed_is_deleted(spark: SparkSession, place: Place, drawn: Dataset) -> None:
    images = {image.name: image.read() for image in digits(drawn, 12)}
    dropped(place.watched, images)
    aside = place.root / "aside"
    job = place.job(spark, max_images_per_trigger=2, after_read="delete")
    wait_until(lambda: len(place.batches) > 1)
    place.sink.rename(aside)
    place.sink.write_text("where the sink was, there is a file now")
    with pytest.raises(SparkdlError, match="the stream failed"):
        job.wait()
    place.sink.unlink()
    aside.rename(place.sink)
    assert set(images) - set(place.ids()) <= set(files(place.watched))
    place.run_to_the_end(spark, after_read="delete")
    assert place.ids() == sorted(images)
    assert files(place.watched) == {}


def test_a_file_that_went_away_unread_says_so(spark: SparkSession, model: ModelVersion) -> None:
    encoded = encoded_rows(spark, [("gone.png", None, None), ("empty.png", b"", None)])
    rows = results(encoded, model.load(), model.name, 0.5, Limits()).collect()
    details = {row["id"]: (row["reason"], row["detail"]) for row in rows}
    assert details == {"gone.png": ("empty", UNREADABLE), "empty.png": ("empty", "0 bytes")}


# --- what is available now, without Spark ------------------------------------------------------------------------


def reader(watched: Path, stable_after: float) -> Any:
    """The source's reader on `watched`, its progress in `checkpoint` beside it."""
    options = {"path": watched, "checkpoint": watched.parent / "checkpoint", "stableAfter": stable_after}
    options |= {"maxFilesPerTrigger": 10, "maxBytes": 1 << 20, "parallelism": 1}
    return DirectoryDataSource({name: str(value) for name, value in options.items()}).streamReader(INPUT_RECORD)


def available_now(watched: Path, stable_after: float, meanwhile: Callable[[], None] = lambda: None) -> list[list[str]]:
    """The names in each micro-batch of a run that ends."""
    reading = reader(watched, stable_after)
    reading.prepareForTriggerAvailableNow()
    writer = threading.Thread(target=meanwhile)
    writer.start()
    offset = before = reading.initialOffset()
    while (offset := reading.latestOffset(before, reading.getDefaultReadLimit())) != before:
        before = offset
    writer.join()
    log = FileLog(watched.parent / "checkpoint" / FILES)
    return [[file.name for file in log.read(number)] for number in range(1, log.last + 1)]


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    (tmp_path / "watched").mkdir()
    return tmp_path / "watched"


def test_what_is_written_at_the_start_is_waited_for_until_it_is_complete(watched: Path) -> None:
    picture = encode("PNG")
    dropped(watched, {"ready.png": picture})
    with (watched / "slow.png").open("wb", buffering=0) as file:
        file.write(picture[:100])

        def end() -> None:
            wait_until((watched.parent / "checkpoint" / FILES / "1.json").exists)
            file.write(picture[100:])

        assert available_now(watched, 60, end) == [["ready.png"], ["slow.png"]]


def test_what_has_no_end_is_waited_for_until_it_has_settled(watched: Path) -> None:
    (watched / "a.tiff").write_bytes(encode("TIFF"))
    assert available_now(watched, 0.5) == [["a.tiff"]]


def test_what_still_changes_when_the_time_is_over_is_left_for_another_run(watched: Path) -> None:
    (watched / "growing.bin").write_bytes(b"begun")
    over = threading.Event()

    def grow() -> None:
        with (watched / "growing.bin").open("ab", buffering=0) as file:
            while not over.wait(0.05):
                file.write(b"more")

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        assert available_now(watched, 0.5) == []
    finally:
        over.set()
        writer.join()
    assert available_now(watched, 0.5) == [["growing.bin"]]


def test_a_file_that_comes_while_others_are_waited_for_is_left_for_another_run(watched: Path) -> None:
    (watched / "half.png").write_bytes(encode("PNG")[:100])
    late = {"late.png": encode("PNG")}
    assert available_now(watched, 0.5, lambda: dropped(watched, late)) == [["half.png"]]
