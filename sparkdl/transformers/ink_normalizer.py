"""InkNormalizer: a stage that converts images of handwriting to bright ink that fills a square."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pyarrow as pa
from pyspark import keyword_only
from pyspark.ml import Transformer
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCol, HasOutputCol
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from sparkdl.errors import RequestError
from sparkdl.images.ink import check_margin, normalize_ink
from sparkdl.images.pixels import to_gray
from sparkdl.images.schema import IMAGE_TYPE, arrays_to_struct, check_image_column, struct_to_arrays
from sparkdl.spark.udf import arrow_udf


def _to_margin(value: Any) -> float:
    return check_margin(TypeConverters.toFloat(value), value)


class InkNormalizer(
    Transformer,
    HasInputCol,
    HasOutputCol,
    DefaultParamsReadable["InkNormalizer"],
    DefaultParamsWritable,
):
    """Converts a column of images of handwriting to images of bright ink that fills a black square.

    See `sparkdl.images.ink.normalize_ink`.

    Parameters
    ----------
    inputCol, outputCol
        Columns of Spark's image schema; they may be the same. The output images have one channel.
    margin
        Empty space around the ink on each side, a fraction of its longer side, 0..2. Default 0.1.

    Examples
    --------
    >>> from sparkdl import InkNormalizer, read_images
    >>> normalizer = InkNormalizer(inputCol="image", outputCol="ink", margin=0.2)
    >>> normalizer.save(temp_path + "/normalizer")
    >>> loaded = InkNormalizer.load(temp_path + "/normalizer")
    >>> loaded.getMargin()
    0.2
    >>> images = read_images(spark, temp_path + "/digits", drop_invalid=True)
    >>> loaded.transform(images).select("ink.nChannels").first()
    Row(nChannels=1)
    """

    __module__ = "sparkdl"  # the name in saved models, independent of the module's location

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
        """Set any of the constructor's arguments; None leaves a Param unchanged."""
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
