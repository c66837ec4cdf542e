"""`sparkdl stream`: classify images as they arrive."""

from __future__ import annotations

import os
import signal
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.commands.train import Conf
from console.output import KafkaConfig, err, start_spark
from console.settings import print_taken

if TYPE_CHECKING:
    from streaming.job import StreamJob


def stream(
    source: Annotated[str | None, typer.Option(help="A directory to watch, or kafka://HOST:PORT/TOPIC.")] = None,
    model: Annotated[
        str | None, typer.Option(help="A registry, a version, or a saved PipelineModel [default: models].")
    ] = None,
    sink: Annotated[
        str | None, typer.Option(help="parquet:DIR, delta:DIR, a directory, kafka://HOST:PORT/TOPIC, or console.")
    ] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="The directory of the stream's progress.")] = None,
    available_now: Annotated[
        bool | None, typer.Option("--available-now", help="Classify what is there, then end.")
    ] = None,
    trigger: Annotated[
        str | None, typer.Option(help="Time between micro-batches, such as 500ms [default: 1s].")
    ] = None,
    label_from: Annotated[
        str | None, typer.Option(help="none, or parent: the folder's name is the true class [default: none].")
    ] = None,
    max_images_per_trigger: Annotated[
        int | None, typer.Option(help="Images a micro-batch at the most [default: as many as take about 8 s].")
    ] = None,
    settle: Annotated[
        str | None,
        typer.Option(help="Time without change before a file without an end of its own is read [default: 10s]."),
    ] = None,
    after_read: Annotated[
        str | None, typer.Option(help="Files that were read: keep, archive or delete [default: keep].")
    ] = None,
    archive_dir: Annotated[Path | None, typer.Option(help="Where --after-read archive moves files.")] = None,
    review_below: Annotated[
        float | None, typer.Option(help="Confidence below which a prediction needs review; default: the model's own.")
    ] = None,
    max_bytes: Annotated[int | None, typer.Option(help="Largest encoded image, bytes.")] = None,
    max_pixels: Annotated[int | None, typer.Option(help="Largest image, pixels.")] = None,
    decode_timeout: Annotated[
        str | None, typer.Option(help="Longest time to decode one image, such as 10s [default: 30s].")
    ] = None,
    kafka_config: KafkaConfig = None,
    starting_offsets: Annotated[
        str | None, typer.Option(help="Where a new stream of messages begins: earliest, latest or JSON.")
    ] = None,
    min_partitions: Annotated[
        int | None, typer.Option(help="Tasks that read a micro-batch of messages [default: one a core].")
    ] = None,
    fail_on_data_loss: Annotated[
        bool | None, typer.Option(help="Stop if messages are gone that were not read yet [default: yes].")
    ] = None,
    retries: Annotated[
        int | None, typer.Option(help="Times in a row that a stream that failed is started again [default: 5].")
    ] = None,
    http: Annotated[
        str | None, typer.Option(help="[HOST:]PORT to answer /livez, /readyz and /metrics on [default: none].")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Print all that Spark says of a failure.")] = False,
    conf: Conf = None,
) -> None:
    """Classify images as they arrive. Each option can also be set as SPARKDL_NAME or in sparkdl.toml.

    Ctrl-C or SIGTERM ends the stream after the running micro-batch; a second one ends it at once.
    """
    from streaming.settings import StreamSettings

    settings = StreamSettings.read(
        source=source,
        model=model,
        sink=sink,
        checkpoint=checkpoint,
        available_now=available_now,
        trigger=trigger,
        label_from=label_from,
        max_images_per_trigger=max_images_per_trigger,
        settle=settle,
        after_read=after_read,
        archive_dir=archive_dir,
        review_below=review_below,
        max_bytes=max_bytes,
        max_pixels=max_pixels,
        decode_timeout=decode_timeout,
        kafka_config=kafka_config,
        starting_offsets=starting_offsets,
        min_partitions=min_partitions,
        fail_on_data_loss=fail_on_data_loss,
        retries=retries,
        http=http,
    )
    print_taken(settings)
    from streaming.checkpoint.lock import CheckpointLock

    # First of all, so that a second stream is refused before it has loaded anything. Of a checkpoint that is not there
    # yet later: a request that is refused leaves nothing behind.
    known = CheckpointLock.is_known(settings.checkpoint)
    lock = CheckpointLock.acquire(settings.checkpoint, tell=err.print) if known else None

    from sparkdl.errors import SparkdlError
    from streaming.failures import with_causes
    from streaming.job import STARTING, StreamJob, check_request
    from streaming.monitoring.health import Health
    from streaming.monitoring.log import BatchLog
    from streaming.monitoring.metrics import Metrics
    from streaming.monitoring.server import serve
    from streaming.spark_conf import connectors_for, stream_conf

    model_version = check_request(settings)  # what can be refused without Spark is refused before it is started
    lock = lock or CheckpointLock.acquire(settings.checkpoint, tell=err.print)
    addresses = settings.source, settings.sink
    log, metrics = BatchLog(debug=debug), Metrics()
    job: StreamJob | None = None

    def health() -> Health:
        return Health(True, False, STARTING, model_version.name) if job is None else job.health()

    # Who asks is answered from the beginning: a start may take longer than a probe waits.
    with serve(settings.http, health, metrics) if settings.http is not None else nullcontext() as http_address:
        if http_address is not None:
            log.answers(http_address)
        spark = start_spark(conf or (), connectors_for(*addresses), stream_conf(*addresses))
        job = StreamJob(spark, settings, log, metrics, lock=lock)
        stop_on_signals(job)
        job.start()
        try:
            job.wait()
        except SparkdlError as error:
            if debug and isinstance(error.__cause__, Exception):
                err.print(with_causes(error.__cause__))
            raise


def stop_on_signals(job: StreamJob) -> None:
    """The first SIGINT or SIGTERM stops `job` after its micro-batch; the second ends the process with 130."""
    seen = 0

    def handle(number: int, frame: object) -> None:
        nonlocal seen
        seen += 1
        if seen > 1:
            os._exit(130)
        job.stop()

    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)
