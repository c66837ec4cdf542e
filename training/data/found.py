"""The images, problems and notes found so far in a directory of labelled images."""

from __future__ import annotations

from dataclasses import dataclass, field

from sparkdl.system.left_out import LeftOut
from training.data.dataset import Dataset, LabelledImage


@dataclass
class Found:
    """The findings so far; see `training.data.dataset.Dataset` for the fields."""

    images: list[LabelledImage] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)

    def dataset(self, address: str) -> Dataset:
        return Dataset(address, tuple(self.images), tuple(self.problems), tuple(self.notes), self.left_out)
