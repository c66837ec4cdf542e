"""`sparkdl produce`: replay labelled images into a watched directory or onto a Kafka topic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from console.options import Data, DataLayout, Ignore, ImageColumn, KafkaConfig, LabelColumn
from console.output import err, print_reading
from console.signals import catch_stop_signals
from sparkdl.errors import RequestError, SparkdlError
from sparkdl.system.terminal import printable
from training.data.request import Layout


def produce(
    data: Data,
    to: Annotated[str, typer.Option(help="The directory to write to, or kafka://HOST:PORT/TOPIC.")],
    rate: Annotated[float | None, typer.Option(help="Images per second; default: no limit.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum number of images.")] = None,
    shuffle: Annotated[bool, typer.Option("--shuffle", help="Send in random order.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the order and of drawn samples.")] = 0,
    loop: Annotated[bool, typer.Option("--loop", help="Start again after the last image.")] = False,
    label_folders: Annotated[
        bool, typer.Option("--label-folders", help="Put each image into a folder named as its label.")
    ] = False,
    ignore: Ignore = None,
    layout: DataLayout = Layout.AUTO,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    kafka_config: KafkaConfig = None,
    message: Annotated[
        str, typer.Option(help="How a message of Kafka holds its image: raw, json:FIELD, base64 or cloudevents.")
    ] = "raw",
) -> None:
    """Replay labelled images into a directory, one file each, or onto a topic, one message each.

    A file appears only when it is complete. Ctrl-C stops; every image that is counted as sent has arrived.
    """
    from producer.replay import replay_to_directory, sequence
    from sparkdl.formats.envelopes import Envelope
    from streaming.kafka.address import KafkaAddress, is_kafka
    from training.data.loading import open_dataset

    if "://" in to and not is_kafka(to):
        raise RequestError(f"expected --to as a directory or kafka://HOST:PORT/TOPIC, received {to!r}")
    if is_kafka(to) and label_folders:
        raise RequestError("--label-folders is for directories: a message has its label as a header")
    try:
        envelope = Envelope.parse(message)
    except ValueError as error:
        raise RequestError(f"--message: {error}, received {message!r}") from error
    if envelope is not None and not is_kafka(to):
        raise RequestError(f"--message {message} is for topics on Kafka: omit it, a file is the image itself")
    address = KafkaAddress.parse(to) if is_kafka(to) else None
    dataset = open_dataset(
        data,
        seed,
        require_labels=False,
        ignore=ignore or (),
        layout=layout,
        image_column=image_column,
        label_column=label_column,
    )
    print_reading(dataset)
    images = sequence(dataset, limit=limit, shuffle=shuffle, seed=seed, loop=loop)
    total = limit if loop else min(len(dataset), limit or len(dataset))
    columns = (TextColumn("sent"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with catch_stop_signals() as is_over, Progress(*columns, console=err, disable=not err.is_terminal) as bar:
        task = bar.add_task("sent", total=total)
        count = 0

        def note(sent: int) -> None:
            nonlocal count
            count = sent
            bar.update(task, completed=sent)

        if address is not None:
            from producer.topic import replay_to_topic
            from streaming.kafka.client_config import ClientConfig

            config = ClientConfig.read(kafka_config)
            delivery = replay_to_topic(
                images, address, config, rate=rate, on_acknowledged=note, is_over=is_over, envelope=envelope
            )
        else:
            delivery = None
            replay_to_directory(images, Path(to), rate=rate, label_folders=label_folders, on_sent=note, is_over=is_over)
    err.print(f"sent {count} images to {to}", soft_wrap=True)
    if delivery is not None:
        for name, why in delivery.refused:
            err.print(printable(f"refused: {name}: {why}"), soft_wrap=True)
        for name in delivery.lost:
            err.print(printable(f"not acknowledged: {name}"), soft_wrap=True)
        if delivery.lost:
            raise SparkdlError(f"{len(delivery.lost)} images were not acknowledged: {delivery.why}")
        if delivery.refused:
            raise SparkdlError(f"{len(delivery.refused)} images were refused")
