"""`sparkdl produce`: replay labelled images into a watched directory or onto a Kafka topic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from console.options import KAFKA, Data, DataLayout, Ignore, ImageColumn, KafkaConfig, LabelColumn, Seed
from console.output import complain, err, print_reading
from console.progress import counting
from console.signals import catch_stop_signals
from sparkdl.errors import RequestError, SparkdlError
from training.data.request import Layout

_SENDING = "Sending"


def produce(
    *,
    data: Data,
    seed: Seed = 0,
    ignore: Ignore = None,
    layout: DataLayout = Layout.AUTO,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    to: Annotated[
        str,
        typer.Option(
            help="Directory to write to, or kafka://HOST:PORT/TOPIC.", metavar="TARGET", rich_help_panel=_SENDING
        ),
    ],
    rate: Annotated[
        float | None,
        typer.Option(help="Images per second.", metavar="NUMBER", show_default="no limit", rich_help_panel=_SENDING),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Maximum number of images.", metavar="N", rich_help_panel=_SENDING),
    ] = None,
    shuffle: Annotated[bool, typer.Option("--shuffle", help="Send in random order.", rich_help_panel=_SENDING)] = False,
    loop: Annotated[
        bool, typer.Option("--loop", help="Start again after the last image.", rich_help_panel=_SENDING)
    ] = False,
    label_folders: Annotated[
        bool,
        typer.Option(
            "--label-folders", help="Write each image to a folder named after its label.", rich_help_panel=_SENDING
        ),
    ] = False,
    kafka_config: KafkaConfig = None,
    message: Annotated[
        str,
        typer.Option(
            help="Encoding of the image in a message: raw, json:FIELD, base64 or cloudevents.",
            metavar="FORM",
            rich_help_panel=KAFKA,
        ),
    ] = "raw",
) -> None:
    """Send images to a directory as files, or to a Kafka topic as messages.

    A file appears only when it is complete. Ctrl-C stops; every image that is counted as sent has arrived.
    """
    from producer.replay import replay_to_directory, sequence
    from sparkdl.formats.envelopes import Envelope
    from streaming.kafka.address import KafkaAddress, is_kafka
    from training.data.loading import open_dataset

    if "://" in to and not is_kafka(to):
        raise RequestError(f"expected --to as a directory or kafka://HOST:PORT/TOPIC, received {to!r}")
    if is_kafka(to) and label_folders:
        raise RequestError("--label-folders is for directories: a message has its label in a header")
    try:
        envelope = Envelope.parse(message)
    except ValueError as error:
        raise RequestError(f"--message: {error}, received {message!r}") from error
    if envelope is not None and not is_kafka(to):
        raise RequestError(f"--message {message} is for Kafka topics: omit it for a directory")
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
    with catch_stop_signals() as is_over, counting("sending", total) as show:
        count = 0

        def note(sent: int) -> None:
            nonlocal count
            count = sent
            show(sent)

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
            complain(f"refused: {name}: {why}")
        for name in delivery.lost:
            complain(f"not acknowledged: {name}")
        if delivery.lost:
            raise SparkdlError(f"{len(delivery.lost)} images were not acknowledged: {delivery.why}")
        if delivery.refused:
            raise SparkdlError(f"{len(delivery.refused)} images were refused")
