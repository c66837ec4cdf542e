"""Description of a network: its layers, input size and pooling, and the valid values of these settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL.Image import Resampling

from sparkdl.errors import RequestError, unknown
from sparkdl.networks.backbones import backbone
from sparkdl.networks.pooling import grid_of

SCALE_HINTS = {
    "SCALE_AREA_AVERAGING": Resampling.BOX,
    "SCALE_DEFAULT": Resampling.BILINEAR,
    "SCALE_FAST": Resampling.NEAREST,
    "SCALE_REPLICATE": Resampling.NEAREST,
    "SCALE_SMOOTH": Resampling.BICUBIC,
}
"""The resize hints of Deep Learning Pipelines, named after java.awt.Image, and the filter for each."""

COLOR_MODES = ("color", "grayscale")

NETWORK_FILE = "network.onnx"
"""The file of a saved stage that holds its network."""


@dataclass(frozen=True)
class NetworkSpec:
    """Description of the features that a network computes.

    Attributes
    ----------
    model_name
        A name in `sparkdl.networks.backbones.BACKBONES`.
    input_size
        Height and width of the input images in pixels.
    tap_layers
        Layers whose outputs are pooled, flattened and joined, in this order.
    pooling
        `none` keeps every position of the layer, `average` takes the mean over all, `NxN` the means over an N x N grid.
    weights
        A file of weights; None for the published ones.
    grayscale
        Whether the input images have one channel (gray) instead of three.
    """

    model_name: str
    input_size: tuple[int, int]
    tap_layers: tuple[str, ...]
    pooling: str = "none"
    weights: str | None = None
    grayscale: bool = False

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the input images."""
        return (*self.input_size, 1 if self.grayscale else 3)

    @classmethod
    def of(
        cls,
        model_name: str,
        *,
        input_size: Sequence[int] | None = None,
        tap_layers: Sequence[str] | None = None,
        pooling: str = "none",
        weights: str | None = None,
        color_mode: str = "color",
    ) -> NetworkSpec:
        """Return the description for the settings of a stage, with the backbone's own size and layer as defaults.

        Raises
        ------
        RequestError
            If a `check_*` function of this module, or `backbone`, refuses a setting.
        """
        network = backbone(model_name)
        height, width = network.input_size if input_size is None else check_input_size(input_size)
        taps = (network.tap_layer,) if tap_layers is None else tuple(tap_layers)
        grayscale = check_color_mode(color_mode) == "grayscale"
        return cls(model_name, (height, width), taps, check_pooling(pooling), weights, grayscale)


def check_input_size(size: Sequence[int], received: object = None) -> list[int]:
    """Return `size`, [height, width] in pixels; raise a RequestError with what was `received` if it is invalid."""
    if len(size) != 2 or not all(isinstance(side, int) for side in size) or min(size) < 1:
        raise RequestError(
            f"expected inputSize as pixels, N or [height, width], received {size if received is None else received!r}"
        )
    return list(size)


def check_scale_hint(value: object) -> str:
    """Return `value`, a name in `SCALE_HINTS`; raise a RequestError if it is something else."""
    if value not in SCALE_HINTS:
        raise unknown("scaleHint", str(value), SCALE_HINTS)
    return str(value)


def check_color_mode(value: object) -> str:
    """Return `value`, one of `COLOR_MODES`; raise a RequestError if it is something else."""
    if value not in COLOR_MODES:
        raise unknown("colorMode", str(value), COLOR_MODES)
    return str(value)


def check_pooling(value: object) -> str:
    """Return `value`, a pooling for `sparkdl.networks.pooling.grid_of`; raise a RequestError if it is not one."""
    grid_of(str(value))
    return str(value)
