"""`sparkdl demo`: train, stream, produce and show, in one go; ends by itself."""

from __future__ import annotations

import os
import shutil
import struct
import threading
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.output import Format, err, out, print_rows, start_spark, working
from console.predictions import print_summary
from console.train import Conf

if TYPE_CHECKING:
    from streaming.job import Batch, StreamJob
    from training.datasets import Dataset

_TRAIN, _STREAM = 400, 200  # images
_RATE = 100.0  # images a second
_PATIENCE = 120.0  # seconds without a micro-batch before the demo gives up
_MARK = ".sparkdl-demo"


def demo(
    data: Annotated[
        str | None, typer.Option(help="Labelled images; default: those in NUMTADB_HOME, or drawn samples.")
    ] = None,
    directory: Annotated[Path, typer.Option("--out", help="Where everything is put; emptied first.")] = Path(
        "sparkdl-demo"
    ),
    seed: Annotated[int, typer.Option(help="Of the split, and of drawn samples.")] = 0,
    conf: Conf = None,
) -> None:
    """Train a model, start a stream, drop 200 unseen images and some broken files, show what came out."""
    from console.train import print_figures
    from producer.replay import replay_to_directory, sequence
    from streaming.job import StreamJob
    from streaming.predictions import SinkReader
    from streaming.settings import LabelFrom, StreamSettings
    from training.datasets import open_dataset
    from training.recipes import recipe
    from training.registry import Registry
    from training.train import train

    started = time.monotonic()
    address = data or _default_data()
    dataset = open_dataset(address, seed)
    known, unseen = _part(dataset, seed)
    _make_empty(directory)
    watched, sink = directory / "watched", directory / "sink"
    watched.mkdir()

    _step(f"1. Training on {len(known)} of {len(dataset)} images of {len(dataset.classes)} classes from {address}")
    spark = start_spark(conf or ())
    with working("training"):
        trained = train(spark, known, recipe("digits"), Registry(directory / "models"), seed=seed)
    print_figures(trained.evaluation)

    _step(f"2. Streaming: watching {watched}")
    seen = _Tally()
    settings = StreamSettings.read(
        source=str(watched),
        model=str(directory / "models"),
        sink=f"parquet:{sink}",
        checkpoint=directory / "checkpoint",
        label_from=LabelFrom.PARENT,
        trigger="500ms",
    )
    job = StreamJob(spark, settings, seen.add)
    job.start()
    try:
        _step(f"3. Producing: {len(unseen)} unseen images and some broken files, {_RATE:.0f} a second")
        broken = _drop_broken(watched / "broken", unseen)
        replay_to_directory(sequence(unseen, shuffle=True, seed=seed), watched, rate=_RATE, label_folders=True)
        with working("waiting for the last prediction"):
            seen.wait(len(unseen) + broken, job)
    finally:
        job.stop()
        job.wait()

    _step("4. What came out")
    reader = SinkReader(str(sink))
    rows = list(reader.rows())
    print_rows(rows[:10], ("id", "prediction", "confidence", "label"), Format.TABLE, f"10 of {len(rows)} predictions")
    print_rows(reader.rows(dead=True), ("id", "reason", "detail", "size"), Format.TABLE, "Dead letters")
    print_summary(reader.summary(), classes=False)
    out.print(
        f"{seen.images} images in {len(seen.batches)} micro-batches, {seen.images_per_second:.0f} images a second"
    )
    out.print(
        f"model        {trained.version.path}\n"
        f"its report   {trained.version.path / 'report' / 'report.md'}\n"
        f"predictions  {sink / 'predictions'}\n"
        f"dead letters {sink / 'dead_letters'}",
        soft_wrap=True,
    )
    err.print(f"done in {time.monotonic() - started:.0f} s")


class _Tally:
    """Counts what the stream's own thread reports, and lets another thread wait for a sum."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self._changed = threading.Condition()

    def add(self, batch: Batch) -> None:
        with self._changed:
            self.batches.append(batch)
            self._changed.notify_all()

    @property
    def images(self) -> int:
        return sum(batch.images for batch in self.batches)

    @property
    def images_per_second(self) -> float:
        return self.images / sum(batch.seconds for batch in self.batches)

    def wait(self, images: int, job: StreamJob) -> None:
        """Returns when `images` have been classified; raises what stopped the stream, if something did."""
        from sparkdl.errors import SparkdlError

        quiet_since = time.monotonic()
        with self._changed:
            while self.images < images:
                if self._changed.wait(1):
                    quiet_since = time.monotonic()
                if not job.is_active:
                    job.wait()
                if time.monotonic() - quiet_since > _PATIENCE:
                    raise SparkdlError(f"{self.images} of {images} images after {_PATIENCE:.0f} s of silence")


def _step(words: str) -> None:
    err.print(f"\n{words}", style="bold", soft_wrap=True)


def _default_data() -> str:
    home = os.environ.get("NUMTADB_HOME")
    if not home:
        return "samples:60"
    # Either the data set itself, or a directory that holds several.
    return next((str(path) for path in (Path(home) / "numta500",) if path.is_dir()), home)


def _part(dataset: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """Images to train on, and as many as the stream is to be shown; of a large data set a stratified part."""
    share = min(_STREAM / len(dataset), 0.4)
    known, unseen = dataset.split(share, seed)
    if len(known) > 2 * _TRAIN:
        _, known = known.split(_TRAIN / len(known), seed)
    return known, unseen


def _make_empty(directory: Path) -> None:
    from sparkdl.errors import RequestError

    if directory.exists():
        if not (directory / _MARK).is_file() and (not directory.is_dir() or any(directory.iterdir())):
            raise RequestError(f"--out: {directory} is not empty and not of an earlier demo; it is left alone")
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    (directory / _MARK).touch()


def _drop_broken(folder: Path, images: Dataset) -> int:
    """Puts files into `folder` that are no whole images, one of each kind, and returns how many."""
    whole = images.images[0].read()
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    contents = {
        "empty.png": b"",
        "cut-short.png": whole[: len(whole) // 2],
        "one-byte-changed.png": whole[:-20] + bytes([whole[-20] ^ 0xFF]) + whole[-19:],
        "a-letter.txt": "প্রিয় বন্ধু, this is no image.".encode(),
        "60000-by-60000.png": b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk)),
    }
    folder.mkdir()
    for name, content in contents.items():
        partial = folder / f".{name}"
        partial.write_bytes(content)
        partial.rename(folder / name)
    return len(contents)
