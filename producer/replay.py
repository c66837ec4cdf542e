"""Replay of labelled images at a set rate into a directory, where each file appears complete."""

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

_LOOK = 0.1  # seconds between two checks for the end of a replay


def sequence(
    dataset: Dataset, *, limit: int | None = None, shuffle: bool = False, seed: int = 0, loop: bool = False
) -> Iterator[tuple[LabelledImage, int]]:
    """Return the images to replay, each with the number of its round, from 0.

    Parameters
    ----------
    limit
        Maximum images over all rounds.
    shuffle, seed
        Use a new order in each round; the same seed gives the same orders.
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
    """Yield items at `rate` per second (None for as fast as they are consumed) until `is_over()`.

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
    """Write each image into `directory` and return the number of images.

    A file is written under a hidden name in the same folder, then renamed, so that readers never see it incomplete. No
    file is replaced: if a name exists, a number is added to it.

    Parameters
    ----------
    images
        The images, from `sequence`.
    directory
        The target; created if it is missing.
    rate
        Images per second; None for as fast as possible.
    label_folders
        Write each image into a folder named after its label.
    on_sent
        Called after each image with the number of images sent so far.
    is_over
        Called before each image; true ends the replay.

    Raises
    ------
    RequestError
        If `directory` cannot be created or is a file, or `rate` is not positive.
    SparkdlError
        If an image cannot be read or written, or its label is not a valid folder name. The message names the image and
        the number of images sent.
    """
    images = paced(images, rate, is_over)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"{directory} cannot be created: {error.strerror}; name another directory") from error
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
    """Return the label of an image if it is a valid folder name: a label is untrusted text and must not be a path."""
    label = image.label
    if label.startswith(".") or any(character in label for character in "/\\\0"):
        raise _NoFolderName(f"its label {label[:80]!r} is not a folder name")
    return label


class _NoFolderName(Exception):  # noqa: N818 - never leaves this module
    """A label that would lead out of the directory or name a hidden folder."""


def _place(payload: bytes, folder: Path, name: PurePosixPath, number: int) -> None:
    for attempt in itertools.count(number):
        target = folder / (f"{name.stem}~{attempt}{name.suffix}" if attempt else name.name)
        if create_atomically(target, payload):
            return
