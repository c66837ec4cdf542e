"""Framing: how an image of any size becomes one of a network's input size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image


@dataclass(frozen=True)
class Framing:
    """Resizing and cropping before a network.

    Attributes
    ----------
    size
        What an image is resized to, pixels: an integer is the length of the shorter side, the aspect ratio is kept;
        (height, width) is the size. None is the input size of the network, which needs no crop. Then the centre is cut
        out; what an image lacks is filled with black.
    """

    size: int | tuple[int, int] | None = None

    def resized(self, height: int, width: int, wanted: tuple[int, int]) -> tuple[int, int]:
        """Return the height and width to resize an image of `height` x `width` to, before the crop to `wanted`."""
        if self.size is None:
            return wanted
        if isinstance(self.size, tuple):
            return self.size
        shorter, longer = min(height, width), max(height, width)
        length = max(int(self.size * longer / shorter), 1)
        return (self.size, length) if height <= width else (length, self.size)

    def to_json(self) -> int | list[int] | None:
        """Return it as a value of JSON."""
        return list(self.size) if isinstance(self.size, tuple) else self.size

    @classmethod
    def from_json(cls, value: int | list[int] | None) -> Framing:
        """Return what `to_json` returned."""
        if isinstance(value, list):
            height, width = value
            return cls((height, width))
        return cls(value)


STRETCH = Framing()
"""Resizing to the input size, whatever the aspect ratio."""


def frame(
    image: NDArray[np.uint8], size: tuple[int, int], resample: Image.Resampling, framing: Framing = STRETCH
) -> NDArray[np.uint8]:
    """Return `image`, uint8 [H, W, 1 or 3], resized and cropped to `size`, height and width."""
    channels = image.shape[2]
    resized = framing.resized(image.shape[0], image.shape[1], size)
    if image.shape[:2] != resized:
        # The order of the channels does not matter to Pillow.
        picture = Image.fromarray(image[:, :, 0] if channels == 1 else np.ascontiguousarray(image))
        image = np.asarray(picture.resize((resized[1], resized[0]), resample)).reshape(*resized, -1)
    return image if resized == size else _crop(image, size)


def _crop(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    missing = [max(wanted - given, 0) for wanted, given in zip(size, image.shape, strict=False)]
    if any(missing):
        image = np.pad(image, [*((-(-pixels // 2), pixels // 2) for pixels in missing), (0, 0)])
    top, left = ((given - wanted) // 2 for given, wanted in zip(image.shape, size, strict=False))
    return image[top : top + size[0], left : left + size[1]]
