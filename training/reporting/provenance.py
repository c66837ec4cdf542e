"""What a report says beside its figures: which model, which images, and whether it may have learnt from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparkdl.models.registry import ModelVersion
from training.data.loading import SAMPLES, Dataset


@dataclass(frozen=True)
class About:
    """The origin of a model and of the images that it was measured on.

    Attributes
    ----------
    images
        Which images were measured on, and how they were kept apart from those trained on; ends a sentence.
    description
        What `model.json` says of the model, or will say; empty if nothing is known.
    model
        Its name; None if it has none yet.
    """

    images: str
    description: Mapping[str, Any]
    model: str | None = None

    def part(self, name: str) -> Mapping[str, Any]:
        """A part of the description; empty if there is none, as in one from elsewhere."""
        part = self.description.get(name)
        return part if isinstance(part, Mapping) else {}


def about_evaluation(version: ModelVersion, dataset: Dataset, seed: int) -> About:
    """What there is to say where a saved model is measured on a whole data set, drawn with `seed` if it was drawn."""
    images = f"all images of {dataset.address}"
    learnt = About(images, version.description).part("data").get("address")
    if learnt is None:
        images += "; whether the model has learnt from some of them is not known"
    elif has_learnt_from(version, dataset, seed):
        images += ", from which it was trained as well: the figures are too good"
    else:
        images += f"; the model was trained on images of {learnt}"
    return About(images, version.description, version.name)


def has_learnt_from(version: ModelVersion, dataset: Dataset, seed: int) -> bool:
    """Whether the model's description names the same address, so that it has learnt from some of these images."""
    data = About("", version.description).part("data")
    learnt = data.get("address")
    if not isinstance(learnt, str):
        return False
    if dataset.address.partition(":")[0] == learnt.partition(":")[0] == SAMPLES:
        return bool(seed == data.get("seed"))
    return Path(dataset.address).resolve() == Path(learnt).resolve()
