"""Description of a network from outside: what its files, or flags, state of its input and its output."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import isfinite
from typing import Literal

from PIL.Image import Resampling

from sparkdl.errors import RequestError, unknown
from sparkdl.networks.framing import Framing

ChannelOrder = Literal["RGB", "BGR"]
Layout = Literal["NCHW", "NHWC"]
Activation = Literal["softmax", "sigmoid", "none"]

CHANNEL_ORDERS: tuple[ChannelOrder, ...] = ("RGB", "BGR")
LAYOUTS: tuple[Layout, ...] = ("NCHW", "NHWC")
ACTIVATIONS: tuple[Activation, ...] = ("softmax", "sigmoid", "none")
RESAMPLINGS = {filter_.name: filter_ for filter_ in Resampling}
"""Pillow's filters by name."""


@dataclass(frozen=True)
class Normalization:
    """The numbers that a network takes for a pixel: `(x * scale - mean) / std`, x in 0..255.

    Attributes
    ----------
    mean, std
        A value a channel, in the order in which the network takes the channels; one value counts for all.
    """

    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def per_channel(self, count: int) -> tuple[list[float], list[float]]:
        """Return mean and std with a value for each of `count` channels.

        Raises
        ------
        RequestError
            If there is another number of values, or one that is not finite, or a std of 0.
        """
        if not isfinite(self.scale) or self.scale == 0:
            raise RequestError(f"expected a scale of pixels other than 0, received {self.scale}")
        widened = []
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, count):
                raise RequestError(f"expected {name} with 1 or {count} values, received {list(values)}")
            if not all(map(isfinite, values)) or (name == "std" and 0 in values):
                raise RequestError(f"expected {name} of finite numbers, std without 0, received {list(values)}")
            widened.append([float(value) for value in values] * (count // len(values)))
        return widened[0], widened[1]


NORMALIZATIONS: dict[str, tuple[Normalization, ChannelOrder]] = {
    "none": (Normalization(1.0), "RGB"),
    "unit": (Normalization(), "RGB"),
    "symmetric": (Normalization(1 / 127.5, (1.0,)), "RGB"),
    "imagenet": (Normalization(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), "RGB"),
    "caffe": (Normalization(1.0, (103.939, 116.779, 123.68)), "BGR"),
}
"""The usual ones by name, with the order of channels that each goes with: pixels of 0 to 255, 0 to 1, -1 to 1; those of
torchvision and timm; those of Caffe."""


@dataclass(frozen=True)
class Described:
    """What is stated of a network; None is not stated.

    Attributes
    ----------
    input_size
        Height and width, pixels.
    framing, resample
        How an image becomes one of that size.
    channels, layout
        Of the network's input.
    labels
        The names of the classes.
    activation
        What makes probabilities of the output: `none` if it is probabilities already.
    multi_label
        Whether an image can have several classes, or none, each with its own probability.
    has_head
        Whether the output is a value a class; else it is features.
    """

    input_size: tuple[int, int] | None = None
    framing: Framing | None = None
    resample: Resampling | None = None
    channels: ChannelOrder | None = None
    layout: Layout | None = None
    normalization: Normalization | None = None
    labels: tuple[str, ...] | None = None
    activation: Activation | None = None
    multi_label: bool | None = None
    has_head: bool | None = None

    def over(self, other: Described) -> Described:
        """Return a description of what this one states, and what only `other` states."""
        stated = {}
        for field in fields(self):
            value = getattr(self, field.name)
            stated[field.name] = getattr(other, field.name) if value is None else value
        return Described(**stated)


def normalization(name: str) -> tuple[Normalization, ChannelOrder]:
    """Return the normalization called `name`; a RequestError with the nearest names if there is none."""
    if name not in NORMALIZATIONS:
        raise unknown("normalization", name, NORMALIZATIONS)
    return NORMALIZATIONS[name]
