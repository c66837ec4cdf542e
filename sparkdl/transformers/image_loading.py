"""Images of files, named by a column of URIs, as the float arrays that a Keras model takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Resampling
from pyspark.ml.param import Param, Params

from sparkdl.decoding.udf import decode_payloads
from sparkdl.errors import RequestError, SparkdlError
from sparkdl.images.pixels import Pixels
from sparkdl.images.rejection import DEFAULT_LIMITS
from sparkdl.networks.runtime import resize_to_input
from sparkdl.spark import arrow
from sparkdl.system.file_uris import path_of
from sparkdl.system.files import read_beginning

ImageLoader = Callable[[str], NDArray[Any]]
"""A function from a URI to an image, [1, H, W, C] or [H, W, C], as the model takes it: channels in RGB order."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_PIECE_IMAGES = 32  # decoded at once: at most 3 MiB of pixels each


def _to_loader(value: Any) -> ImageLoader:
    if not callable(value):
        raise RequestError(f"expected imageLoader, a function from a URI to an array, received {value!r}")
    loader: ImageLoader = value
    return loader


class HasImageLoader(Params):
    """The Param `imageLoader`."""

    imageLoader: Param[ImageLoader] = Param(
        Params._dummy(), "imageLoader", "a function from a URI to an array; never saved", _to_loader
    )

    def setImageLoader(self, value: ImageLoader) -> HasImageLoader:
        return self._set(imageLoader=value)

    def getImageLoader(self) -> ImageLoader | None:
        return self.getOrDefault(self.imageLoader) if self.isDefined(self.imageLoader) else None


def load_images(
    uris: Sequence[str | None], loader: ImageLoader | None, shape: Sequence[int | str | None]
) -> list[NDArray[np.float32] | None]:
    """Return the images at `uris`, float32 [H, W, C] in RGB order; None for a URI that is null or cannot be read.

    Parameters
    ----------
    loader
        Reads one image. None to decode files on a local disk as `sparkdl.read_images` does, and to resize them to
        `shape`: values 0..255, as Keras's `load_img` gives them.
    shape
        Of the model's input: [N, H, W, C].

    Raises
    ------
    SparkdlError
        Naming the URI, if the loader fails otherwise than by an OSError, or returns no image.
    """
    if loader is not None:
        return [None if uri is None else _call(loader, uri) for uri in uris]
    payloads = [None if uri is None else read_beginning(_local_path(uri), DEFAULT_LIMITS.max_bytes)[0] for uri in uris]
    images: list[NDArray[np.float32] | None] = []
    for start in range(0, len(payloads), _PIECE_IMAGES):
        images += decode_to_input(payloads[start : start + _PIECE_IMAGES], shape)
    return images


def decode_to_input(
    payloads: Sequence[bytes | None], shape: Sequence[int | str | None]
) -> list[NDArray[np.float32] | None]:
    """Return encoded images as a model takes them; None for one that is null or cannot be decoded."""
    decoded = decode_payloads(arrow.binary_array(payloads), DEFAULT_LIMITS)
    pictures: Iterator[Pixels] = iter(decoded.images())
    return [to_input(next(pictures), shape) if present else None for present in decoded.shapes[:, 2] > 0]


def check_input_shape(shape: Sequence[int | str | None], name: str) -> None:
    """Raise a RequestError unless images can be resized to an input of a model, [N, H, W, C], C = 1 or 3."""
    if len(shape) != 4 or not all(isinstance(side, int) for side in shape[1:]) or shape[3] not in (1, 3):
        sides = " x ".join(str(side) for side in shape)
        raise RequestError(
            f"{name}: expected a model of images of one size, N x H x W x 3 or 1, received {sides}: set imageLoader"
        )


def to_input(image: Pixels, shape: Sequence[int | str | None]) -> NDArray[np.float32]:
    """Return an image, uint8 [H, W, C] in BGR order, as a model takes it: resized, float32, RGB, 0..255."""
    height, width, channels = (int(side) for side in shape[1:] if side is not None)
    resized = resize_to_input(image, (height, width, channels), Resampling.BILINEAR)
    return np.ascontiguousarray(resized[:, :, ::-1], np.float32)


def present_rows(images: Sequence[NDArray[np.float32] | None]) -> NDArray[np.bool_]:
    """Return bool [N], true where there is an image."""
    return np.array([image is not None for image in images], bool)


def batches_of_one_shape(images: Sequence[NDArray[np.float32]], size: int) -> Iterator[NDArray[np.float32]]:
    """Yield images of one shape, in order, stacked: at most `size` at a time."""
    start = 0
    for end in range(1, len(images) + 1):
        if end == len(images) or end - start == size or images[end].shape != images[start].shape:
            yield np.stack(images[start:end])
            start = end


def _call(loader: ImageLoader, uri: str) -> NDArray[np.float32] | None:
    try:
        image = np.asarray(loader(uri), np.float32)
    except OSError:
        return None
    except Exception as error:
        raise SparkdlError(f"imageLoader fails on {uri}: {type(error).__name__}: {error}") from error
    if image.ndim == 4 and len(image) == 1:
        image = image[0]
    if image.ndim != 3:
        raise SparkdlError(f"imageLoader: expected [1, H, W, C] or [H, W, C] of {uri}, received {list(image.shape)}")
    return image


def _local_path(uri: str) -> str:
    if uri.startswith("file:"):
        return path_of(uri)
    if _SCHEME.match(uri):
        raise SparkdlError(f"{uri} is on another file system: set imageLoader to a function that reads it")
    return uri
