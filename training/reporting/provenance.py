"""The origin of a model and of the images that it is evaluated on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.data.dataset import Subset
from training.data.loading import SAMPLES, Dataset
from training.data.split_folders import subset_of
from training.data.tables import is_table

if TYPE_CHECKING:
    from sparkdl.models.registry import ModelVersion


@dataclass(frozen=True)
class Provenance:
    """The origin of a model and of its evaluation images.

    Attributes
    ----------
    images
        A phrase at the end of a sentence: which images the model was evaluated on, and how they relate to the training
        images.
    description
        The content of `model.json`; empty if nothing is known about the model.
    model
        The model's name; None if it has none yet.
    """

    images: str
    description: Mapping[str, Any]
    model: str | None = None

    def section(self, name: str) -> Mapping[str, Any]:
        """Return a section of the description; empty if it is missing or has another type."""
        section = self.description.get(name)
        return section if isinstance(section, Mapping) else {}


def evaluation_provenance(version: ModelVersion, dataset: Dataset, seed: int) -> Provenance:
    """Return the provenance of evaluating a saved model on all of `dataset`.

    Parameters
    ----------
    seed
        The seed of `dataset`, if it is synthetic.
    """
    subset = f" in the subset {next(iter(dataset.subsets))}" if len(dataset.subsets) == 1 else ""
    images = f"all images of {dataset.address}{subset}"
    trained_on = Provenance(images, version.description).section("data").get("address")
    if trained_on is None:
        images += "; whether the model was trained on some of them is not known"
    elif was_trained_on(version, dataset, seed):
        images += ", which the model was trained on too, so the metrics are too optimistic"
    else:
        images += f"; the model was trained on images of {trained_on}"
    return Provenance(images, version.description, version.name)


def was_trained_on(version: ModelVersion, dataset: Dataset, seed: int) -> bool:
    """Whether the model was trained on images of the same address, by its description.

    Synthetic images are the same if their seed is.
    """
    data = Provenance("", version.description).section("data")
    trained_on = data.get("address")
    if not isinstance(trained_on, str):
        return False
    if dataset.address.partition(":")[0] == trained_on.partition(":")[0] == SAMPLES:
        return bool(seed == data.get("seed"))
    here, there = (_directory(address) for address in (dataset.address, trained_on))
    if (tested := data.get("test_subset")) is None:
        return here == there
    # The dataset has its own split: images outside its test subset may be training images.
    if here == there:
        return {*dataset.subsets} != {tested}
    return here.is_relative_to(there) and any(subset_of(part) == Subset.TRAIN for part in here.relative_to(there).parts)


def _directory(address: str) -> Path:
    """Return the directory of the images at an address: a table labels the images in its folder."""
    path = Path(address).resolve()
    return path.parent if is_table(path.name) else path
