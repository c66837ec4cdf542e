"""KerasTransformer: a Keras model applied to a column of arrays."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pyarrow as pa
from pyspark import keyword_only
from pyspark.ml.param.shared import HasInputCol, HasOutputCol
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, FloatType

from sparkdl.errors import RequestError
from sparkdl.networks.foreign.tensors import run_tensors, spread, to_column, to_tensor
from sparkdl.networks.keras_files.conversion import INPUT, OUTPUT
from sparkdl.networks.runtime import OnnxFile
from sparkdl.spark import arrow
from sparkdl.spark.udf import arrow_udf
from sparkdl.transformers.keras_params import KerasStage

_BATCH = 32


class KerasTransformer(KerasStage, HasInputCol, HasOutputCol):
    """Applies a Keras model to a column of arrays, each a tensor of one dimension.

    Parameters
    ----------
    inputCol
        A column of arrays of numbers, or of ML Vectors, all of the length that the model takes.
    outputCol
        The name of the column to add: arrays of floats, null where the input is null.
    modelFile
        A Keras model with one input and one output, `.keras` or `.h5`. Files with code in them (`Lambda`, custom
        layers) are refused, see `sparkdl.networks.keras_files.checks`.

    Notes
    -----
    TensorFlow converts the model to ONNX at the first `transform` or save, in a separate process (the extra `keras`);
    workers and saved stages do without it.

    Examples
    --------
    >>> from sparkdl import KerasTransformer
    >>> transformer = KerasTransformer(inputCol="features", outputCol="predictions", modelFile="model.keras")
    >>> transformer.getModelFile()
    'model.keras'
    >>> transformer.transform(arrays).select("predictions").show()  # doctest: +SKIP
    """

    __module__ = "sparkdl"  # saved models name the stage so, wherever its module lies

    @keyword_only
    def __init__(
        self, *, inputCol: str | None = None, outputCol: str | None = None, modelFile: str | None = None
    ) -> None:
        super().__init__()
        self.set_given(cast("dict[str, Any]", self._input_kwargs))  # type: ignore[attr-defined]

    @keyword_only
    def setParams(
        self, *, inputCol: str | None = None, outputCol: str | None = None, modelFile: str | None = None
    ) -> KerasTransformer:
        """Sets any of the constructor's arguments; None leaves a Param as it is."""
        return self.set_given(cast("dict[str, Any]", self._input_kwargs))  # type: ignore[attr-defined]

    def setInputCol(self, value: str) -> KerasTransformer:
        return self._set(inputCol=value)

    def setOutputCol(self, value: str) -> KerasTransformer:
        return self._set(outputCol=value)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        column = self.value_of("inputCol")
        if column not in dataset.columns:
            raise RequestError(f"expected a column {column!r} of arrays, received columns {', '.join(dataset.columns)}")
        file = self.broadcast_file(dataset.sparkSession.sparkContext)
        return dataset.withColumn(self.getOutputCol(), _apply(F.col(column), column, file))


def _apply(arrays: Column, name: str, file: OnnxFile) -> Column:
    def outputs(column: pa.Array) -> pa.Array:
        there = column.is_valid().to_numpy(zero_copy_only=False)
        present = column.filter(arrow.bool_array(there))
        if not len(present):
            return pa.nulls(len(column), pa.list_(pa.float32()))
        (values,) = run_tensors(file, {INPUT: to_tensor(present, name)}, [OUTPUT], _BATCH)
        return spread(to_column(values.reshape(len(values), -1).astype(np.float32)), there)

    return arrow_udf(outputs, ArrayType(FloatType()))(arrays)
