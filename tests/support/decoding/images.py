"""Images as the stages take them: rows of Spark's image schema, made from arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.ml import Transformer
from pyspark.sql import DataFrame, SparkSession

from sparkdl.images.schema import arrays_to_struct

Pixels = NDArray[np.uint8]


def noise(seed: int, *shape: int) -> Pixels:
    """uint8 [H, W, C] of even noise."""
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def image_rows(spark: SparkSession, arrays: Sequence[Pixels]) -> DataFrame:
    """`id long, image struct`: a row an array, uint8 [H, W, 1, 3 or 4]."""
    images = arrays_to_struct([f"file:/{row}.png" for row in range(len(arrays))], arrays)
    return spark.createDataFrame(pa.table({"id": range(len(arrays)), "image": images}))


def features_of(stage: Transformer, frame: DataFrame, column: str = "features") -> NDArray[np.float64]:
    """[N, D]: what `stage` makes of the rows of `frame`, in the order of their `id`."""
    rows: list[Any] = stage.transform(frame).select("id", column).collect()
    return np.stack([row[column].toArray() for row in sorted(rows, key=lambda row: row.id)])
