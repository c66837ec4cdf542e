"""`sparkdl demo`: train, stream, produce and show the results; ends by itself."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.command import Config
from console.commands.predictions import print_summary
from console.options import IMAGES, KAFKA, OUTPUT, Conf, Seed
from console.output import Format, err, out, print_rows
from console.progress import working
from console.session import start_spark
from console.settings import print_stream_settings
from sparkdl.errors import RequestError, SparkdlError
from sparkdl.system.extras import require_extra
from streaming.monitoring.observer import Batch, Observer

if TYPE_CHECKING:
    from streaming.job import StreamJob
    from training.data.loading import Dataset

_TRAIN_IMAGES, _STREAM_IMAGES = 400, 200
_RATE = 100.0  # images a second
_TIMEOUT = 120.0  # seconds without a micro-batch before the demo gives up
_MARK = ".sparkdl-demo"


def demo(
    data: Annotated[
        str | None,
        typer.Option(
            help="Labelled images.",
            metavar="DATA",
            show_default="those in NUMTADB_HOME, or synthetic digits",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    directory: Annotated[
        Path,
        typer.Option("--out", help="Directory of all results, emptied first.", metavar="DIR", rich_help_panel=OUTPUT),
    ] = Path("sparkdl-demo"),
    seed: Seed = 0,
    kafka: Annotated[
        bool,
        typer.Option("--kafka", help="Use topics of a local Kafka broker, not directories.", rich_help_panel=KAFKA),
    ] = False,
    conf: Conf = None,
    config: Config = None,
) -> None:
    """Train a model, start a stream, send it 200 unseen and some broken images, and show the results."""
    require_extra("train", "sparkdl demo")
    if kafka:
        require_extra("kafka", "sparkdl demo --kafka")
    from training.data.loading import open_dataset

    started = time.monotonic()
    _check_directory(directory)
    address = data or _default_data()
    dataset = open_dataset(address, seed)
    known, unseen = _split(dataset, seed)
    _make_empty(directory)

    from console.commands.demo_routes import open_route
    from console.tables import print_figures
    from sparkdl.models.registry import Registry
    from streaming.job import StreamJob
    from streaming.plan import prepare
    from streaming.settings import StreamSettings
    from streaming.spark_conf import KAFKA as KAFKA_CONNECTOR
    from training.fitting.recipes import recipe
    from training.train import train

    _step(f"1. Training on {len(known)} of {len(dataset)} images of {len(dataset.classes)} classes from {address}")
    spark = start_spark(conf or (), [KAFKA_CONNECTOR] if kafka else ())
    with working("training"):
        trained = train(spark, known, recipe("digits", ["augmentations=0"]), Registry(directory / "models"), seed=seed)
    print_figures(trained.evaluation)

    if kafka:
        err.print("starting a broker")
    with open_route(directory, kafka=kafka) as route:
        settings = StreamSettings.read(
            config,
            model=str(directory / "models"),
            checkpoint=directory / "checkpoint",
            trigger="500ms",
            **route.settings,
        )
        print_stream_settings(settings)
        _step(f"2. Streaming from {settings.source} to {settings.sink}")
        seen = _Tally()
        job = StreamJob(spark, prepare(settings), seen)
        job.start()
        try:
            _step(f"3. Producing: {len(unseen)} unseen images and some broken ones, {_RATE:.0f} a second")
            sent = route.produce(unseen, _RATE, seed)
            with working("waiting for the last prediction"):
                seen.wait(sent, job)
        finally:
            job.stop()
            job.wait()

        _step("4. Results")
        reader = route.reader()
        rows = list(reader.rows())
        title = f"10 of {len(rows)} predictions"
        print_rows(rows[:10], ("id", "prediction", "confidence", "label"), Format.TABLE, title)
        print_rows(reader.rows(dead=True), ("id", "reason", "detail", "size"), Format.TABLE, "Dead letters")
        print_summary(reader.summary(), classes=False)
    out.print(
        f"{seen.images} images in {len(seen.batches)} micro-batches, {seen.images_per_second:.0f} images a second"
    )
    report = trained.version.path / "report" / "report.md"
    for name, place in {"model": trained.version.path, "its report": report, **route.places()}.items():
        out.print(f"{name:12} {place}", soft_wrap=True)
    err.print(f"done in {time.monotonic() - started:.0f} s")


class _Tally(Observer):
    """Counter of the images that the stream reports; another thread can wait for a number of them."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self._changed = threading.Condition()

    def batch(self, batch: Batch) -> None:
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
        """Wait until `images` have been classified; raise the error that stopped the stream, if one did."""
        quiet_since = time.monotonic()
        with self._changed:
            while self.images < images:
                if self._changed.wait(1):
                    quiet_since = time.monotonic()
                if not job.is_active:
                    job.wait()
                if time.monotonic() - quiet_since > _TIMEOUT:
                    raise SparkdlError(
                        f"no micro-batch for {_TIMEOUT:.0f} s; {self.images} of {images} images were classified"
                    )


def _step(words: str) -> None:
    err.print(f"\n{words}", style="bold", soft_wrap=True)


def _default_data() -> str:
    home = os.environ.get("NUMTADB_HOME")
    if not home:
        return "samples:60"
    # Either the data set itself, or a directory that holds several.
    return next((str(path) for path in (Path(home) / "numta500",) if path.is_dir()), home)


def _split(dataset: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """Return the images to train on and those to stream; of a large dataset a stratified part."""
    share = min(_STREAM_IMAGES / len(dataset), 0.4)
    known, unseen = dataset.split(share, seed)
    if len(unseen) > _STREAM_IMAGES:  # the dataset comes with its split
        _, unseen = unseen.without_subsets().split(_STREAM_IMAGES / len(unseen), seed)
    if len(known) > 2 * _TRAIN_IMAGES:
        _, known = known.split(_TRAIN_IMAGES / len(known), seed)
    return known, unseen


def _check_directory(directory: Path) -> None:
    if (
        directory.exists()
        and not (directory / _MARK).is_file()
        and (not directory.is_dir() or any(directory.iterdir()))
    ):
        raise RequestError(
            f"--out: {directory} is not empty and not from an earlier demo; it is left alone: name another"
        )


def _make_empty(directory: Path) -> None:
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    (directory / _MARK).touch()
