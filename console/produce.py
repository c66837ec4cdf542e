"""`sparkdl produce`: replay labelled images into a watched directory."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from console.output import err
from console.train import Data


def produce(
    data: Data,
    to: Annotated[str, typer.Option(help="The directory to write to.")],
    rate: Annotated[float | None, typer.Option(help="Images a second; default: as fast as it goes.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Images at the most.")] = None,
    shuffle: Annotated[bool, typer.Option("--shuffle", help="In a random order.")] = False,
    seed: Annotated[int, typer.Option(help="Of the order, and of drawn samples.")] = 0,
    loop: Annotated[bool, typer.Option("--loop", help="Start again after the last image.")] = False,
    label_folders: Annotated[
        bool, typer.Option("--label-folders", help="Put each image into a folder named as its label.")
    ] = False,
) -> None:
    """Replay labelled images into a directory; each file appears whole."""
    from producer.replay import replay_to_directory, sequence
    from sparkdl.errors import RequestError
    from training.datasets import open_dataset

    if "://" in to:
        raise RequestError(f"expected --to as a directory, received {to!r}")
    dataset = open_dataset(data, seed)
    images = sequence(dataset, limit=limit, shuffle=shuffle, seed=seed, loop=loop)
    total = limit if loop else min(len(dataset), limit or len(dataset))
    columns = (TextColumn("sent"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal) as bar:
        task = bar.add_task("sent", total=total)
        count = 0

        def note(sent: int) -> None:
            nonlocal count
            count = sent
            bar.update(task, completed=sent)

        with suppress(KeyboardInterrupt):  # what was sent so far is whole, and counted below
            replay_to_directory(images, Path(to), rate=rate, label_folders=label_folders, on_sent=note)
    err.print(f"sent {count} images to {to}", soft_wrap=True)
