"""Replays labelled images at a set rate: into a directory, each file appearing whole."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import TypeVar

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.system.files import create_atomically
from training.data.loading import Dataset, LabelledImage

T = TypeVar("T")

_LOOK = 0.1  # seconds between two looks whether a replay is over


def sequence(
    dataset: Dataset, *, limit: int | None = None, shuffle: bool = False, seed: int = 0, loop: bool = False
) -> Iterator[tuple[LabelledImage, int]]:
    """The images to replay, each with the number of the round it is sent in, from 0.

    Parameters
    ----------
    limit
        Images at the most, over all rounds.
    shuffle, seed
        A new order each round; the same seed gives the same orders.
    loop
        Start again after the last image.
    """
    chance = random.Random(seed)

    def rounds() -> Iterator[tuple[LabelledImage, int]]:
        for number in itertools.count() if loop else (0,):
            images = list(dataset.images)
            if shuffle:
                chance.shuffle(images)
            for image in images:
                yield image, number

    return itertools.islice(rounds(), limit)


def paced(items: Iterable[T], rate: float | None, is_over: Callable[[], bool]) -> Iterator[T]:
    """The items, `rate` of them a second (None for as fast as they are taken), until `is_over()`.

    Raises
    ------
    RequestError
        If `rate` is not positive.
    """
    if rate is not None and rate <= 0:
        raise RequestError(f"expected a rate above 0 images a second, received {rate}")

    def wait_and_give() -> Iterator[T]:
        started = time.monotonic()
        for count, item in enumerate(items):
            due = started if rate is None else started + count / rate
            while not is_over() and (left := due - time.monotonic()) > 0:
                time.sleep(min(left, _LOOK))
            if is_over():
                return
            yield item

    return wait_and_give()


def replay_to_directory(
    images: Iterator[tuple[LabelledImage, int]],
    directory: Path,
    *,
    rate: float | None = None,
    label_folders: bool = False,
    on_sent: Callable[[int], None] = lambda sent: None,
    is_over: Callable[[], bool] = lambda: False,
) -> int:
    """Writes each image into `directory` and returns how many there were.

    A file is written under a hidden name beside its target, then renamed, so that a reader of the directory sees it
    whole or not at all. No file is ever replaced: a name that is taken gets a number.

    Parameters
    ----------
    images
        What `sequence` gives.
    directory
        Made if it is missing.
    rate
        Images a second; None for as fast as it goes.
    label_folders
        Put each image into a folder named as its label.
    on_sent
        Called after each image with the number sent so far.
    is_over
        Asked before each image whether to end the replay here.

    Raises
    ------
    RequestError
        If `directory` cannot be made or is a file, or `rate` is not positive.
    SparkdlError
        If an image cannot be read or written, or its label is no name for a folder; the message names it and counts
        what was sent.
    """
    images = paced(images, rate, is_over)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"{directory} cannot be a directory to write to: {error.strerror}") from error
    sent = 0
    for image, number in images:
        try:
            folder = directory / _folder_name(image) if label_folders else directory
            folder.mkdir(exist_ok=True)
            _place(image.read(), folder, PurePosixPath(image.name), number)
        except (OSError, _NoFolderName) as error:
            raise SparkdlError(f"{image.name} cannot be sent ({error}); {sent} images were sent before it") from error
        sent += 1
        on_sent(sent)
    return sent


def _folder_name(image: LabelledImage) -> str:
    """The image's label, as long as it names a folder: a label out of a table is anybody's words, and no path."""
    label = image.label
    if label.startswith(".") or any(character in label for character in "/\\\0"):
        raise _NoFolderName(f"its label {label[:80]!r} is no name for a folder")
    return label


class _NoFolderName(Exception):  # noqa: N818 - never leaves this module
    """A label that would lead out of the directory, or that nobody would see in it."""


def _place(payload: bytes, folder: Path, name: PurePosixPath, number: int) -> None:
    for attempt in itertools.count(number):
        target = folder / (f"{name.stem}~{attempt}{name.suffix}" if attempt else name.name)
        if create_atomically(target, payload):
            return
