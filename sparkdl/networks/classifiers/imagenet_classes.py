"""The 1,000 classes that ImageNet networks tell apart: WordNet identifiers and names."""

from __future__ import annotations

from collections import Counter
from functools import cache
from importlib import resources
from typing import NamedTuple


class ImageNetClass(NamedTuple):
    """A class of ImageNet.

    Attributes
    ----------
    identifier
        The synset's identifier in WordNet 3.0: `n02099601`.
    description
        The first word of the synset, with underscores for spaces, as Keras gives it: `golden_retriever`.
    """

    identifier: str
    description: str


@cache
def imagenet_classes() -> tuple[ImageNetClass, ...]:
    """Return the classes in the order of a network's outputs."""
    text = (resources.files("sparkdl.networks.classifiers") / "imagenet_classes.tsv").read_text("utf-8")
    lines = (line.split("\t") for line in text.splitlines() if not line.startswith("#"))
    return tuple(ImageNetClass(identifier, description) for identifier, description in lines)


def imagenet_labels() -> tuple[str, ...]:
    """Return one name for each class, with spaces: `golden retriever`; `crane n02012849` where two share a name."""
    shared = Counter(described.description for described in imagenet_classes())
    return tuple(
        described.description.replace("_", " ")
        + (f" {described.identifier}" if shared[described.description] > 1 else "")
        for described in imagenet_classes()
    )
