"""Outputs of networks of images as columns: ML Vectors, or images of Spark's schema with float pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.ml.linalg import VectorUDT
from pyspark.sql.types import DataType

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.images.schema import IMAGE_TYPE
from sparkdl.networks.runtime import to_vectors
from sparkdl.spark import arrow

_FLOAT_MODES = {1: 5, 3: 21, 4: 29}
"""Channels to OpenCV's type codes: CV_32FC1, CV_32FC3, CV_32FC4."""

OUTPUT_MODES: dict[str, DataType] = {"vector": VectorUDT(), "image": IMAGE_TYPE}
"""How a network's output becomes a column, and the type of that column."""


def check_output_mode(value: object) -> str:
    """Return `value`, a name out of `OUTPUT_MODES`; a RequestError if it is something else."""
    if value not in OUTPUT_MODES:
        raise RequestError(f"expected outputMode vector or image, received {value!r}")
    return str(value)


@dataclass(frozen=True)
class Form:
    """How the output of a network becomes a column.

    Attributes
    ----------
    mode
        A name out of `OUTPUT_MODES`. `vector`: flattened; `image`: [N, H, W, C] or [N, C, H, W] as images with float32
        pixels.
    channels_first, rgb
        The layout of images, and whether the order of their channels is RGB.
    """

    mode: str
    channels_first: bool = False
    rgb: bool = True


def to_output(values: NDArray[Any], form: Form, origins: pa.Array) -> pa.Array:
    """Return the outputs of N images, [N, ...], as a column of N rows; `origins` are those of the images.

    Raises
    ------
    SparkdlError
        If images are asked for, and the network gives none.
    """
    channels_first = form.channels_first
    if form.mode == "vector":
        return to_vectors(values.reshape(len(values), -1) if len(values) else np.empty((0, 0)))
    if len(values) and (values.ndim != 4 or values.shape[1 if channels_first else 3] not in _FLOAT_MODES):
        raise SparkdlError(f"expected images of 1, 3 or 4 channels from the network, received {list(values.shape)}")
    pixels = values.transpose(0, 2, 3, 1) if channels_first and len(values) else values
    if form.rgb and len(values) and pixels.shape[3] >= 3:
        pixels = pixels[..., [2, 1, 0, *range(3, pixels.shape[3])]]
    shape = pixels.shape[1:] if len(values) else (0, 0, 0)
    numbers = [np.full(len(values), number, np.int32) for number in (*shape, _FLOAT_MODES.get(shape[2], 0))]
    data = arrow.binary_array([np.ascontiguousarray(image, np.float32).tobytes() for image in pixels])
    return pa.StructArray.from_arrays([origins, *map(arrow.number_array, numbers), data], names=IMAGE_TYPE.names)
