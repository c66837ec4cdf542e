"""OnnxTransformer: an ONNX network applied to columns of numbers, arrays and ML Vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa
from pyspark import keyword_only
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructField, StructType

from sparkdl.errors import RequestError
from sparkdl.networks.foreign.onnx_files import choose, inputs_of, outputs_of, parse_onnx, read_onnx
from sparkdl.networks.foreign.tensors import column_type, null_column, run_tensors, spread, to_column, to_tensor
from sparkdl.networks.runtime import OnnxFile
from sparkdl.spark import arrow
from sparkdl.spark.udf import arrow_udf
from sparkdl.transformers.keras_params import to_path
from sparkdl.transformers.network_stage import NetworkStage


def _to_mapping(value: Any) -> dict[str, str]:
    pairs = value.items() if isinstance(value, Mapping) else value
    try:
        mapping = {TypeConverters.toString(key): TypeConverters.toString(name) for key, name in pairs}
    except (TypeError, ValueError):
        mapping = {}
    if not mapping:
        raise RequestError(f"expected a mapping of columns and tensors, such as {{'x': 'input'}}, received {value!r}")
    return mapping


def _to_batch_size(value: Any) -> int:
    number = TypeConverters.toInt(value)
    if number < 1:
        raise RequestError(f"expected batchSize of at least 1, received {value!r}")
    return number


class OnnxTransformer(NetworkStage):
    """Applies an ONNX network to columns of numbers, arrays of them, or ML Vectors.

    It has the role of `TFTransformer` of Deep Learning Pipelines, whose graphs were those of TensorFlow 1.

    Parameters
    ----------
    model
        An ONNX file. The first dimension of each of its tensors is the rows.
    inputMapping
        The tensor of each column that goes in: `{"column": "tensor"}`. A number a row is a tensor [N], an array [N, D],
        arrays of arrays [N, D, E]; the arrays of a column have one length. Elements are cast to the tensor's type.
    outputMapping
        The column of each tensor that comes out: `{"tensor": "column"}`; a number, an array or arrays of arrays.
    batchSize
        How many rows the network gets at once; 1 where it takes no more. Default 32.

    Notes
    -----
    The outputs of a row are null if one of its inputs is null. The network is checked
    (`sparkdl.networks.validation`) and saved beside the stage's metadata: a saved stage does not need the file.

    Examples
    --------
    >>> from pathlib import Path
    >>> import onnx.parser
    >>> from sparkdl import OnnxTransformer
    >>> network = onnx.parser.parse_model(
    ...     '<ir_version: 8, opset_import: ["": 18]> double_it (float[N, 2] x) => (float[N, 2] y) { y = Add(x, x) }'
    ... )
    >>> _ = Path(temp_path + "/network.onnx").write_bytes(network.SerializeToString())
    >>> transformer = OnnxTransformer(
    ...     model=temp_path + "/network.onnx", inputMapping={"features": "x"}, outputMapping={"y": "scores"}
    ... )
    >>> transformer.save(temp_path + "/transformer")
    >>> loaded = OnnxTransformer.load(temp_path + "/transformer")
    >>> arrays = spark.createDataFrame([([1.0, 2.5],)], "features array<double>")
    >>> loaded.transform(arrays).first()
    Row(features=[1.0, 2.5], scores=[2.0, 5.0])
    """

    __module__ = "sparkdl"  # saved models name the stage so, wherever its module lies

    model: Param[str] = Param(Params._dummy(), "model", "an ONNX file", to_path)
    inputMapping: Param[dict[str, str]] = Param(
        Params._dummy(), "inputMapping", "the tensor of each input column", _to_mapping
    )
    outputMapping: Param[dict[str, str]] = Param(
        Params._dummy(), "outputMapping", "the column of each output tensor", _to_mapping
    )
    batchSize: Param[int] = Param(Params._dummy(), "batchSize", "rows that the network gets at once", _to_batch_size)

    @keyword_only
    def __init__(
        self,
        *,
        model: str | None = None,
        inputMapping: Mapping[str, str] | None = None,
        outputMapping: Mapping[str, str] | None = None,
        batchSize: int = 32,
    ) -> None:
        super().__init__()
        self._setDefault(batchSize=32)
        self.set_given(cast("dict[str, Any]", self._input_kwargs))  # type: ignore[attr-defined]

    @keyword_only
    def setParams(
        self,
        *,
        model: str | None = None,
        inputMapping: Mapping[str, str] | None = None,
        outputMapping: Mapping[str, str] | None = None,
        batchSize: int | None = None,
    ) -> OnnxTransformer:
        """Sets any of the constructor's arguments; None leaves a Param as it is."""
        return self.set_given(cast("dict[str, Any]", self._input_kwargs))  # type: ignore[attr-defined]

    def setModel(self, value: str) -> OnnxTransformer:
        return self._set(model=value)

    def setInputMapping(self, value: Mapping[str, str]) -> OnnxTransformer:
        return self._set(inputMapping=value)

    def setOutputMapping(self, value: Mapping[str, str]) -> OnnxTransformer:
        return self._set(outputMapping=value)

    def setBatchSize(self, value: int) -> OnnxTransformer:
        return self._set(batchSize=value)

    def getModel(self) -> str:
        return self.getOrDefault(self.model)

    def getInputMapping(self) -> dict[str, str]:
        return self.getOrDefault(self.inputMapping)

    def getOutputMapping(self) -> dict[str, str]:
        return self.getOrDefault(self.outputMapping)

    def getBatchSize(self) -> int:
        return self.getOrDefault(self.batchSize)

    def network_identity(self) -> tuple[Any, ...]:
        return (self.value_of("model"),)

    def build_network(self) -> bytes:
        return read_onnx(self.value_of("model"))

    def _transform(self, dataset: DataFrame) -> DataFrame:
        given, wanted = self.value_of("inputMapping"), self.value_of("outputMapping")
        for column in given:
            if column not in dataset.columns:
                raise RequestError(f"expected a column {column!r}, received columns {', '.join(dataset.columns)}")
        model, name = parse_onnx(self.network()), self.getModel()
        tensors = {column: choose(inputs_of(model), tensor, "input tensor", name) for column, tensor in given.items()}
        left = {tensor.name for tensor in inputs_of(model)} - {tensor.name for tensor in tensors.values()}
        if left:
            raise RequestError(f"{name}: expected a column for each input tensor, none is mapped to {', '.join(left)}")
        outputs = {
            column: choose(outputs_of(model), tensor, "output tensor", name) for tensor, column in wanted.items()
        }
        returns = StructType([StructField(column, column_type(tensor), True) for column, tensor in outputs.items()])
        file = self.broadcast_file(dataset.sparkSession.sparkContext)
        given_names = {column: tensor.name for column, tensor in tensors.items()}
        names = [tensor.name for tensor in outputs.values()]
        both = "__sparkdl_outputs"
        found = dataset.withColumn(both, _apply(file, given_names, names, returns, self.getBatchSize()))
        return found.withColumns({column: F.col(f"{both}.`{column}`") for column in outputs}).drop(both)


def _apply(file: OnnxFile, given: Mapping[str, str], wanted: Sequence[str], returns: StructType, size: int) -> Column:
    """Return a struct of `returns`: the tensors `wanted`, for those that `given` names for each column."""

    def outputs(rows: pa.Array) -> pa.Array:
        there = np.ones(len(rows), bool)
        for field in rows.flatten():
            there &= field.is_valid().to_numpy(zero_copy_only=False)
        present = rows.filter(arrow.bool_array(there))
        if len(present):
            tensors = {tensor: to_tensor(present.field(column), column) for column, tensor in given.items()}
            found = [spread(to_column(tensor), there) for tensor in run_tensors(file, tensors, wanted, size)]
        else:
            found = [null_column(field.dataType, len(rows)) for field in returns]
        return pa.StructArray.from_arrays(found, names=returns.names)

    return arrow_udf(outputs, returns)(F.struct(*given))
