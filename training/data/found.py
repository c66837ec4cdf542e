"""What was found in a directory of labelled images so far."""

from __future__ import annotations

from dataclasses import dataclass, field

from sparkdl.system.left_out import LeftOut
from training.data.dataset import Dataset, LabelledImage


@dataclass
class Found:
    """What was found so far; see `training.data.dataset.Dataset`."""

    images: list[LabelledImage] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)

    def dataset(self, address: str) -> Dataset:
        return Dataset(address, tuple(self.images), tuple(self.problems), tuple(self.notes), self.left_out)
