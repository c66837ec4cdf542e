"""Columns of numbers, arrays and ML Vectors as tensors of a network, and tensors as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    ShortType,
)

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.networks.foreign.onnx_files import Tensor
from sparkdl.networks.runtime import OnnxFile, batch_size, session
from sparkdl.spark import arrow

_DENSE = 1  # how Spark marks a dense ML Vector

_TYPES: dict[str, tuple[DataType, str]] = {
    "float16": (FloatType(), "float32"),
    "float32": (FloatType(), "float32"),
    "float64": (DoubleType(), "float64"),
    "bool": (BooleanType(), "bool"),
    "int8": (ShortType(), "int16"),
    "uint8": (ShortType(), "int16"),
    "int16": (ShortType(), "int16"),
    "uint16": (IntegerType(), "int32"),
    "int32": (IntegerType(), "int32"),
    "uint32": (LongType(), "int64"),
    "int64": (LongType(), "int64"),
}
"""The types of tensors: those of Spark, and of numpy, that their elements become."""


_PLACEHOLDERS = {pa.int8(): 0, pa.int32(): 0, pa.binary(): b""}
"""The value of a field in a struct that is null."""


def column_type(tensor: Tensor) -> DataType:
    """Return the type of the column that an output becomes: a number, or arrays in each other, a level a dimension.

    Raises
    ------
    RequestError
        If its elements are no numbers, or the file does not say how many dimensions it has.
    """
    if tensor.dtype.name not in _TYPES:
        raise RequestError(f"output tensor {tensor.name}: expected numbers, received {tensor.dtype.name}")
    if not tensor.shape:
        raise RequestError(f"output tensor {tensor.name}: expected a tensor whose first dimension is the rows")
    kind = _TYPES[tensor.dtype.name][0]
    for _ in tensor.shape[1:]:
        kind = ArrayType(kind, True)
    return kind


def to_tensor(column: pa.Array, name: str) -> NDArray[Any]:
    """Return a column without nulls as a tensor, [N], [N, D] or [N, D, E, ...].

    Parameters
    ----------
    column
        Numbers; arrays of them, in any number of levels; or ML Vectors, as Spark stores them.
    name
        What the message calls the column.

    Raises
    ------
    SparkdlError
        If the arrays of a level differ in length, or hold nulls.
    """
    if pa.types.is_struct(column.type):
        column = _values_of_vectors(column)
    shape = [len(column)]
    while pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        lengths = np.diff(np.asarray(column.offsets))
        if len(lengths) and lengths.min() != lengths.max():
            raise SparkdlError(
                f"column {name}: expected arrays of one length, received lengths {lengths.min()} to {lengths.max()}"
            )
        shape.append(int(lengths[0]) if len(lengths) else 0)
        column = column.flatten()
        if column.null_count:
            raise SparkdlError(f"column {name}: expected arrays without nulls")
    return np.asarray(column.to_numpy(zero_copy_only=False)).reshape(shape)


def _values_of_vectors(column: pa.StructArray) -> pa.Array:
    if all(kind == _DENSE for kind in column.field("type").to_pylist()):
        return column.field("values")
    rows = []
    for vector in column.to_pylist():
        row = np.array(vector["values"]) if vector["type"] == _DENSE else np.zeros(vector["size"])
        if vector["type"] != _DENSE:
            row[vector["indices"]] = vector["values"]
        rows.append(row)
    ends = np.cumsum([0, *map(len, rows)], dtype=np.int32)
    values = np.concatenate([*rows, np.empty(0)])
    return pa.ListArray.from_arrays(arrow.number_array(ends), arrow.number_array(values))


def to_column(tensor: NDArray[Any]) -> pa.Array:
    """Return a tensor as the column that `column_type` says."""
    values = np.ascontiguousarray(tensor, _TYPES[tensor.dtype.name][1])
    column = arrow.bool_array(values.ravel()) if values.dtype == bool else arrow.number_array(values.ravel())
    for axis in range(tensor.ndim - 1, 0, -1):
        ends = np.arange(int(np.prod(tensor.shape[:axis])) + 1, dtype=np.int32) * np.int32(tensor.shape[axis])
        column = pa.ListArray.from_arrays(arrow.number_array(ends), column)
    return column


def null_column(kind: DataType, count: int) -> pa.Array:
    """Return `count` nulls of a type that `column_type` gave."""
    levels = 0
    while isinstance(kind, ArrayType):
        kind, levels = kind.elementType, levels + 1
    arrow_type = next(pa.from_numpy_dtype(np.dtype(name)) for spark_type, name in _TYPES.values() if spark_type == kind)
    for _ in range(levels):
        arrow_type = pa.list_(arrow_type)
    return pa.nulls(count, arrow_type)


def spread(column: pa.Array, present: NDArray[np.bool_]) -> pa.Array:
    """Return the rows of `column` where `present` is true, in order, and nulls elsewhere."""
    if present.all():
        return column
    rows = np.cumsum(present) - 1
    if not pa.types.is_struct(column.type):
        taken = [int(row) if there else None for row, there in zip(rows, present, strict=True)]
        return column.take(arrow.nullable_array(taken, pa.int64()))
    # Spark's structs have fields that are never null, also where the struct is.
    if not len(column):
        column = pa.array([{field.name: _PLACEHOLDERS.get(field.type) for field in column.type}], column.type)
    filled = arrow.number_array(np.where(present, rows, 0))
    fields = [column.field(index).take(filled) for index in range(column.type.num_fields)]
    names = [field.name for field in column.type]
    return pa.StructArray.from_arrays(fields, names=names, mask=arrow.bool_array(~present))


def run_tensors(
    file: OnnxFile, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str], size: int
) -> list[NDArray[Any]]:
    """Return the outputs of a network for N rows, `size` at a time.

    Parameters
    ----------
    inputs
        [N, ...] each; cast to the type of the network's tensor.

    Raises
    ------
    SparkdlError
        If the network does not take them, or gives another number of rows.
    """
    opened = session(file)
    types = {value.name: value.type for value in opened.get_inputs()}
    given = {name: _cast(array, types[name]) for name, array in inputs.items()}
    count = len(next(iter(given.values())))
    step = batch_size(opened, size)
    parts: list[list[NDArray[Any]]] = []
    for start in range(0, count, step):
        rows = min(step, count - start)
        try:
            part = opened.run(list(outputs), {name: array[start : start + step] for name, array in given.items()})
        except Exception as error:
            shapes = ", ".join(f"{name} {list(array.shape[1:])}" for name, array in given.items())
            raise SparkdlError(f"the network fails on rows of {shapes}: {str(error)[:300]}") from error
        for name, array in zip(outputs, part, strict=True):
            if array.shape[:1] != (rows,):
                raise SparkdlError(f"output tensor {name}: expected {rows} rows, received a tensor {list(array.shape)}")
        parts.append(part)
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


_NUMPY = {
    "tensor(float16)": "float16",
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    **{f"tensor({name})": name for name in _TYPES if "int" in name or name == "bool"},
}


def _cast(array: NDArray[Any], kind: str) -> NDArray[Any]:
    if kind not in _NUMPY:
        raise SparkdlError(f"expected an input of numbers, the network takes {kind}")
    return array.astype(_NUMPY[kind], copy=False)
