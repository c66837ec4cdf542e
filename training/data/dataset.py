"""Labelled images as values: one image, and a dataset with its counts, digest, duplicates and split."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from sparkdl.errors import RequestError
from sparkdl.images.labels import MAX_LABEL_LENGTH
from sparkdl.system.left_out import LeftOut
from training.data.duplicates import Duplicates, find_duplicates, picture_key
from training.data.splitting import split

BAD_LABEL = f"its label is not text of at most {MAX_LABEL_LENGTH} characters"


class Subset(StrEnum):
    """A part of a dataset that has its own split."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


@dataclass(frozen=True)
class LabelledImage:
    """One image and its class: a file, or encoded bytes in memory.

    `subset` is a `Subset` if the dataset has its own split, else "".
    """

    name: str
    label: str
    path: Path | None = None
    payload: bytes | None = None
    subset: str = ""

    def read(self) -> bytes:
        """Return the encoded image."""
        if self.payload is not None:
            return self.payload
        assert self.path is not None  # an image is either a file or bytes
        return self.path.read_bytes()

    @cached_property
    def hashes(self) -> tuple[str, bytes | None]:
        """SHA-256 of the encoded image, hexadecimal, and `training.data.duplicates.picture_key`; read once and cached.

        Raises
        ------
        RequestError
            If the file cannot be read.
        """
        try:
            payload = self.read()
        except OSError as error:
            raise RequestError(f"{self.name} cannot be read: {error.strerror}") from error
        return hashlib.sha256(payload).hexdigest(), picture_key(payload)


@dataclass(frozen=True)
class UnreadableImage:
    """A labelled image that could not be decoded, with the reason and detail of its dead letter."""

    name: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Dataset:
    """Labelled images in a fixed order.

    Attributes
    ----------
    address
        The address as the user gave it.
    images
        At least one.
    problems
        A line for each image that is listed but cannot be used, such as a file missing next to its CSV, or for all
        images of a set.
    notes
        Lines that describe how the address was read, where that was detected and not given.
    left_out
        Files and folders of a directory that are not part of the dataset.
    """

    address: str
    images: tuple[LabelledImage, ...]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: LeftOut = field(default_factory=LeftOut, compare=False)

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[LabelledImage]:
        return iter(self.images)

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels that occur; whole numbers in numeric order."""
        return tuple(sorted({image.label for image in self.images}, key=natural_order))

    @property
    def counts(self) -> dict[str, int]:
        """Images per class, in the order of `classes`."""
        counted = Counter(image.label for image in self.images)
        return {label: counted[label] for label in self.classes}

    def digest(self) -> str:
        """Return the SHA-256, hexadecimal, over names, labels and contents.

        Each image is read once; `duplicates` uses the same read.
        """
        total = hashlib.sha256()
        for image in self.images:
            total.update(f"{image.name}\0{image.label}\0{image.hashes[0]}\n".encode())
        return total.hexdigest()

    @cached_property
    def duplicates(self) -> Duplicates:
        """Which images show the same picture; reads every image once."""
        return find_duplicates([(image.name, image.label, image.hashes[1]) for image in self.images])

    @cached_property
    def subsets(self) -> dict[str, int]:
        """The number of images in each subset of the dataset, in the order of `Subset`; empty without a split."""
        counted = Counter(image.subset for image in self.images)
        return {subset.value: counted[subset] for subset in Subset if counted[subset]}

    @cached_property
    def test_subset(self) -> str | None:
        """The subset to test on: test, or else val; None if the dataset has neither."""
        return next((name for name in (Subset.TEST, Subset.VAL) if name in self.subsets), None)

    def part(self, subset: str) -> Dataset:
        """Return the images of a subset."""
        return replace(self, images=tuple(image for image in self.images if image.subset == subset))

    def without_subsets(self) -> Dataset:
        """Return the images without their split."""
        return replace(self, images=tuple(replace(image, subset="") for image in self.images))

    def to_evaluate(self) -> Dataset:
        """Return the images to evaluate a model on: those of the test subset if there is a split, else all.

        Raises
        ------
        RequestError
            If the split has a subset for training only.
        """
        if not self.subsets:
            return self
        if self.test_subset is None:
            raise RequestError(
                f"{self.address}: it has images for training only; to evaluate on them, pass their folder, or a table "
                "of their rows alone"
            )
        return self.part(self.test_subset)

    def split(self, test_fraction: float, seed: int) -> tuple[Dataset, Dataset]:
        """Split into a training set and a test set, stratified by class; the same seed gives the same split.

        No picture is in both sets: all its duplicates, whatever their names and labels, are in one set. A dataset that
        has a test subset is split by that instead; training images with a picture of that subset are left out.

        Parameters
        ----------
        test_fraction
            0 to 1, both excluded.
        seed
            0 to 4294967295.

        Raises
        ------
        RequestError
            If an argument is out of range; if a class has fewer than two pictures, or too few for both sets to have
            one; if a file cannot be read.
        """
        check_seed(seed)
        if not 0 < test_fraction < 1:
            raise RequestError(f"expected a test fraction between 0 and 1, received {test_fraction}")
        if len(self.classes) < 2:
            raise RequestError(f"{self.address}: expected at least two classes, found only {self.classes[0]!r}")
        if self.test_subset is not None:
            return self._split_as_given(self.test_subset)
        try:
            parts = split([image.label for image in self.images], self.duplicates.first, test_fraction, seed)
        except RequestError as error:
            raise RequestError(f"{self.address}: {error}") from error
        train, test = (replace(self, images=tuple(self.images[index] for index in part)) for part in parts)
        return train, test

    def _split_as_given(self, test_subset: str) -> tuple[Dataset, Dataset]:
        tested = {
            first
            for first, image in zip(self.duplicates.first, self.images, strict=True)
            if image.subset == test_subset
        }
        train = replace(
            self,
            images=tuple(
                image
                for first, image in zip(self.duplicates.first, self.images, strict=True)
                if image.subset == Subset.TRAIN and first not in tested
            ),
        )
        test = self.part(test_subset)
        if not train.images:
            only = " and ".join(name for name in self.subsets if name != Subset.TRAIN)
            raise RequestError(
                f"{self.address}: nothing is left to train on except {only}: to train on these, pass their folder, or "
                "a table of their rows alone"
            )
        if len(train.classes) < 2:
            raise RequestError(
                f"{self.address}: expected at least two classes to train on, found only {train.classes[0]!r}"
            )
        if unknown := [label for label in test.classes if label not in train.counts]:
            raise RequestError(
                f"{self.address}: no image to train on of {', '.join(map(repr, unknown[:5]))}, which the subset "
                f"{test_subset} has"
            )
        return train, test


def natural_order(label: str) -> tuple[int, int, str]:
    """Return a sort key: whole numbers by value, before all other names."""
    return (0, int(label), label) if label.isdecimal() else (1, 0, label)


def check_seed(seed: int) -> None:
    """Raise `RequestError` for a seed that NumPy and scikit-learn do not accept."""
    if not 0 <= seed < 2**32:
        raise RequestError(f"expected a seed from 0 to 4294967295, received {seed}")
