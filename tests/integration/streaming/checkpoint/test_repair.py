"""Promises of `streaming.checkpoint.repair`: a checkpoint that was cut in the middle of a write goes on, and loses
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from streams import Place, digits, drop, id_of

from sparkdl.errors import RequestError
from sparkdl.models.registry import Registry
from streaming.checkpoint.repair import repair_checkpoint
from training.data.loading import Dataset

OFFSETS = b'v1\n{"batchWatermarkMs":0}\n{"logs":3}'
COMMIT = b'v1\n{"nextBatchWatermarkMs":0}'


def checkpoint_of(directory: Path, offsets: list[bytes], commits: list[bytes]) -> Path:
    for log, entries in (("offsets", offsets), ("commits", commits)):
        (directory / log).mkdir()
        for number, content in enumerate(entries):
            (directory / log / str(number)).write_bytes(content)
            (directory / log / f".{number}.crc").write_bytes(b"crc")
    (directory / "metadata").write_text('{"id":"1"}')
    return directory


def names_in(checkpoint: Path) -> set[str]:
    return {path.relative_to(checkpoint).as_posix() for path in checkpoint.rglob("*") if path.is_file()}


def never(batch: int) -> bool:
    return False


def always(batch: int) -> bool:
    return True


def test_a_whole_checkpoint_is_left_as_it_is(tmp_path: Path) -> None:
    checkpoint = checkpoint_of(tmp_path, [OFFSETS, OFFSETS], [COMMIT])
    before = names_in(checkpoint)
    assert repair_checkpoint(checkpoint, always, repeats_batches=False) == []
    assert names_in(checkpoint) == before
    assert repair_checkpoint(tmp_path / "another", always, repeats_batches=False) == []


@pytest.mark.parametrize("length", [0, 2, 3, 10, len(COMMIT) - 1])
def test_a_cut_commit_is_removed_so_that_its_batch_is_repeated(tmp_path: Path, length: int) -> None:
    checkpoint = checkpoint_of(tmp_path, [OFFSETS, OFFSETS], [COMMIT, COMMIT[:length]])
    assert repair_checkpoint(checkpoint, always, repeats_batches=False) == [checkpoint / "commits" / "1"]
    assert not names_in(checkpoint) & {"commits/1", "commits/.1.crc"}


@pytest.mark.parametrize(("is_complete", "repeats_batches"), [(never, False), (always, True)])
@pytest.mark.parametrize("length", [0, 2, 3, 10, len(OFFSETS) - 1])
def test_cut_offsets_are_removed_where_the_batch_is_sure_to_come_again(
    tmp_path: Path, length: int, is_complete: Callable[[int], bool], repeats_batches: bool
) -> None:
    checkpoint = checkpoint_of(tmp_path, [OFFSETS, OFFSETS[:length]], [COMMIT])
    assert repair_checkpoint(checkpoint, is_complete, repeats_batches=repeats_batches) == [checkpoint / "offsets" / "1"]


@pytest.mark.parametrize(
    ("commits", "repeats_batches"), [([COMMIT], False), ([COMMIT, COMMIT], False), ([COMMIT, COMMIT], True)]
)
def test_cut_offsets_of_a_batch_that_is_done_are_refused(
    tmp_path: Path, commits: list[bytes], repeats_batches: bool
) -> None:
    checkpoint = checkpoint_of(tmp_path, [OFFSETS, b"v1\n{"], commits)
    before = names_in(checkpoint)
    with pytest.raises(RequestError, match="offsets/1 was cut in the middle of a write"):
        repair_checkpoint(checkpoint, always, repeats_batches=repeats_batches)
    assert names_in(checkpoint) == before


def test_a_stream_goes_on_from_a_cut_checkpoint_and_loses_and_doubles_nothing(
    spark: SparkSession, tmp_path: Path, registry: Registry, drawn: Dataset
) -> None:
    (tmp_path / "watched").mkdir()
    place = Place(tmp_path, registry)
    images = digits(drawn, 30)
    drop(images[:15], place.watched)
    place.run_to_the_end(spark, max_images_per_trigger=5)
    for log in ("offsets", "commits"):
        path = place.checkpoint / log / "2"
        path.write_bytes(path.read_bytes()[:7])
    (place.checkpoint / "metadata").write_bytes(b"")
    drop(images[15:], place.watched)
    place.run_to_the_end(spark, max_images_per_trigger=5)
    assert place.ids() == sorted(map(id_of, images))
