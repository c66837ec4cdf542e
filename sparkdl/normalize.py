"""Ink normalisation: handwriting of any polarity, position and size becomes bright ink filling a square."""

from __future__ import annotations

import itertools
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image
from pyspark import keyword_only
from pyspark.ml import Transformer
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCol, HasOutputCol
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from sparkdl.arrow import arrow_udf
from sparkdl.errors import RequestError
from sparkdl.image import IMAGE_TYPE, arrays_to_struct, check_image_column, struct_to_arrays, to_gray

_INK = 0.35  # of the strongest ink: what counts as ink when its bounding box is sought
_FULL = 0.98  # quantile of the ink that becomes white, so that one hot pixel does not dim the stroke

_MOST_SIDE = 1024
"""Of the square: a picture of one long line would make one of its length squared."""


def normalize_ink(gray: NDArray[np.uint8], margin: float = 0.1) -> NDArray[np.uint8]:
    """Bright ink on black, cropped to its bounding box, in the middle of a square.

    The paper's level is the median of the image's frame; the ink is whichever side of it deviates more, in a draw the
    side of the first pixel that deviates. An image and its negative therefore give the same bytes. A blank image
    stays blank.

    Parameters
    ----------
    gray
        uint8 [H, W].
    margin
        Empty space around the ink on each side, a fraction of the longer side of its bounding box.

    Returns
    -------
    uint8 [S, S], S = the longer side of the bounding box plus both margins; above 1024, the box is reduced by the least
    whole factor that brings S to 1024 or below.
    """
    level = gray.astype(np.float32)
    paper = np.median(np.concatenate((level[0], level[-1], level[:, 0], level[:, -1])))
    deviation = level - paper
    balance = (deviation * np.abs(deviation)).sum() or deviation.flat[np.argmax(deviation != 0)]
    ink = np.maximum(deviation if balance > 0 else -deviation, 0)
    strongest = float(ink.max())
    if strongest == 0:
        return np.zeros((min(max(gray.shape), _MOST_SIDE),) * 2, np.uint8)
    marked = ink >= _INK * strongest
    rows, columns = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
    full = float(np.quantile(ink[marked], _FULL))
    crop = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    crop = np.rint(np.minimum(crop * (255 / full), 255)).astype(np.uint8)
    longer = max(crop.shape)
    factor = next(k for k in itertools.count(1) if _square(-(-longer // k), margin) <= _MOST_SIDE)
    if factor > 1:
        crop = np.asarray(Image.fromarray(crop).reduce(factor))
    height, width = crop.shape
    side = _square(max(height, width), margin)
    square = np.zeros((side, side), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = crop
    return square


def _square(ink: int, margin: float) -> int:
    """The side of the square for ink of this length."""
    return ink + 2 * round(margin * ink)


def _to_margin(value: Any) -> float:
    margin = TypeConverters.toFloat(value)
    if not 0 <= margin <= 2:
        raise RequestError(f"expected margin in 0..2, a fraction of the ink's longer side, received {value!r}")
    return margin


class InkNormalizer(
    Transformer,
    HasInputCol,
    HasOutputCol,
    DefaultParamsReadable["InkNormalizer"],
    DefaultParamsWritable,
):
    """Turns a column of images of handwriting into images of bright ink filling a black square; see `normalize_ink`.

    Parameters
    ----------
    inputCol, outputCol
        Columns of Spark's image schema; they may be the same. The images made have one channel.
    margin
        Empty space around the ink on each side, a fraction of its longer side, 0..2. Default 0.1.

    Examples
    --------
    >>> from sparkdl import InkNormalizer
    >>> InkNormalizer(inputCol="image", outputCol="ink").getMargin()
    0.1
    """

    margin: Param[float] = Param(Params._dummy(), "margin", "empty space around the ink", _to_margin)

    @keyword_only
    def __init__(self, *, inputCol: str | None = None, outputCol: str | None = None, margin: float = 0.1) -> None:
        super().__init__()
        self._setDefault(margin=0.1)
        self.setParams(**cast("dict[str, Any]", self._input_kwargs))  # type: ignore[attr-defined]

    @keyword_only
    def setParams(
        self, *, inputCol: str | None = None, outputCol: str | None = None, margin: float | None = None
    ) -> InkNormalizer:
        """Sets any of the constructor's arguments; None leaves a Param as it is."""
        given: dict[str, Any] = self._input_kwargs  # type: ignore[attr-defined]
        return self._set(**{name: value for name, value in given.items() if value is not None})

    def setInputCol(self, value: str) -> InkNormalizer:
        return self._set(inputCol=value)

    def setOutputCol(self, value: str) -> InkNormalizer:
        return self._set(outputCol=value)

    def setMargin(self, value: float) -> InkNormalizer:
        return self._set(margin=value)

    def getMargin(self) -> float:
        return self.getOrDefault(self.margin)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        if not self.isDefined(self.inputCol):
            raise RequestError("InkNormalizer needs inputCol")
        check_image_column(dataset.schema, self.getInputCol())
        return dataset.withColumn(self.getOutputCol(), _normalize(F.col(self.getInputCol()), self.getMargin()))


def _normalize(images: Column, margin: float) -> Column:
    def normalized(column: pa.Array) -> pa.Array:
        inks = [
            None if image is None else normalize_ink(to_gray(image), margin)[:, :, np.newaxis]
            for image in struct_to_arrays(column)
        ]
        return arrays_to_struct(column.field("origin"), inks)

    return arrow_udf(normalized, IMAGE_TYPE)(images)
