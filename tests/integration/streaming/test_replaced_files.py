"""Promises about files that become something else between listing and reading: a dead letter each, and it goes on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from streams import Place, digits, rows_of

from sparkdl.models.registry import Registry
from streaming.sources.directory.file_log import FILES, FileLog
from streaming.sources.directory.listing import list_files
from training.data.loading import Dataset

REPLACED: dict[str, Callable[[Path], None]] = {
    "link-to-itself.png": lambda path: path.symlink_to(path),
    "link-to-memory.png": lambda path: path.symlink_to("/proc/self/mem"),
    "link-to-environment.png": lambda path: path.symlink_to("/proc/self/environ"),
    "link-to-terminal.png": lambda path: path.symlink_to("/dev/tty"),
    "link-without-end.png": lambda path: path.symlink_to("/dev/zero"),
    "fifo.png": lambda path: os.mkfifo(path),
    "folder.png": lambda path: path.mkdir(),
    "gone.png": lambda path: None,
}


@pytest.mark.parametrize("by_stages", [False, True])
def test_a_file_that_is_replaced_by_anything_else_is_a_dead_letter_without_bytes(
    spark: SparkSession, registry: Registry, drawn: Dataset, tmp_path: Path, by_stages: bool
) -> None:
    place = Place(tmp_path, registry)
    place.watched.mkdir()
    model = registry.current()
    assert model is not None
    given = {"model": str(model.pipeline)} if by_stages else {}
    place.run_to_the_end(spark, **given)  # makes the checkpoint
    good, *others = digits(drawn, 1 + len(REPLACED))
    for name, image in zip(["good.png", *REPLACED], [good, *others], strict=True):
        (place.watched / name).write_bytes(image.read())
    # What a stream that died between listing and reading has left: these files are its next micro-batch.
    FileLog(place.checkpoint / FILES).append(list(list_files(place.watched)))
    for name, replace in REPLACED.items():
        (place.watched / name).unlink()
        replace(place.watched / name)

    place.run_to_the_end(spark, **given)

    assert [row["id"] for row in rows_of(place.sink)] == ["good.png"]
    letters = {row["id"]: row for row in rows_of(place.sink, "dead_letters")}
    assert letters.keys() == REPLACED.keys()
    assert {row["payload"] for row in letters.values()} <= {None, b""}
