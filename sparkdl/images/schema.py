"""Conversion between Spark image rows and arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql.types import BinaryType, IntegerType, StringType, StructField, StructType

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.images.pixels import Pixels

IMAGE_TYPE = StructType(
    [
        StructField("origin", StringType(), True),
        StructField("height", IntegerType(), False),
        StructField("width", IntegerType(), False),
        StructField("nChannels", IntegerType(), False),
        StructField("mode", IntegerType(), False),
        StructField("data", BinaryType(), False),
    ]
)
"""Spark's image schema, equal to `pyspark.ml.image.ImageSchema.columnSchema`, which needs a session."""
_MODES = {1: 0, 3: 16, 4: 24}
"""Channels to OpenCV's type codes: CV_8UC1, CV_8UC3, CV_8UC4."""
_UNDEFINED = -1

_ARROW_FIELDS = [
    pa.field("origin", pa.string()),
    *(pa.field(name, pa.int32(), nullable=False) for name in ("height", "width", "nChannels", "mode")),
    pa.field("data", pa.binary(), nullable=False),
]


def arrays_to_struct(origins: Sequence[str | None], arrays: Sequence[Pixels | None]) -> pa.StructArray:
    """Convert arrays, uint8 [H, W, 1, 3 or 4], to rows of `IMAGE_TYPE`; None becomes a null row.

    Raises `SparkdlError` for an array of another kind, or if the rows exceed the 2 GiB of one Arrow array.
    """
    if len(origins) != len(arrays):
        raise SparkdlError(f"expected as many origins as arrays, received: {len(origins)} and {len(arrays)}")
    for origin, array in zip(origins, arrays, strict=True):
        if array is not None and (array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in _MODES):
            received = f"{array.dtype} {list(array.shape)}"
            raise SparkdlError(f"image {origin}: expected uint8 [H, W, 1, 3 or 4], received: {received}")
    shapes = np.array([(0, 0, 0) if a is None else a.shape for a in arrays], np.int64).reshape(-1, 3)
    data = b"".join(np.ascontiguousarray(a).data for a in arrays if a is not None)
    return pixels_to_struct(pa.array(origins, pa.string()), shapes, data)


def pixels_to_struct(origins: pa.Array, shapes: npt.NDArray[np.int64], pixels: bytes | bytearray) -> pa.StructArray:
    """Convert concatenated pixels to rows of `IMAGE_TYPE`, null where `shapes`, int64 [N, 3], has 0 x 0 x 0."""
    offsets = np.concatenate([[0], np.cumsum(shapes.prod(axis=1))])
    if offsets[-1] > np.iinfo(np.int32).max:
        raise SparkdlError(
            f"{len(shapes)} images hold {offsets[-1]} bytes, more than one Arrow array can: "
            "lower spark.sql.execution.arrow.maxRecordsPerBatch"
        )
    height, width, channels = (pa.array(column.astype(np.int32)) for column in shapes.T)
    modes = pa.array([_MODES.get(int(count), _UNDEFINED) for count in shapes[:, 2]], pa.int32())
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(pixels)]
    binary = pa.Array.from_buffers(pa.binary(), len(shapes), buffers)
    parts = [origins, height, width, channels, modes, binary]
    return pa.StructArray.from_arrays(parts, fields=_ARROW_FIELDS, mask=pa.array(shapes[:, 2] == 0))


def struct_to_arrays(column: pa.StructArray) -> list[Pixels | None]:
    """Convert rows of `IMAGE_TYPE` to arrays uint8 [H, W, nChannels]; None for a null row and for mode -1 (undefined).

    The arrays are read-only views of the column's own buffer. `data` may be binary or large binary.
    Raises `SparkdlError` with the row's origin for an unsupported mode or a length that does not fit the shape.
    """
    heights, widths, channels, modes = (
        column.field(name).fill_null(_UNDEFINED).to_numpy() for name in ("height", "width", "nChannels", "mode")
    )
    present = column.is_valid().to_numpy(zero_copy_only=False)
    data, offsets = binary_views(column.field("data"))

    arrays: list[Pixels | None] = []
    for row, mode in enumerate(modes):
        if not present[row] or mode == _UNDEFINED:
            arrays.append(None)
            continue
        shape = (int(heights[row]), int(widths[row]), int(channels[row]))
        pixels = data[offsets[row] : offsets[row + 1]]
        if _MODES.get(shape[2]) != mode:
            known = ", ".join(f"{code} with {count} channels" for count, code in _MODES.items())
            raise _bad_row(column, row, f"mode {known}", f"mode {mode} with {shape[2]}")
        if min(shape) < 1 or shape[0] * shape[1] * shape[2] != len(pixels):
            expected = f"{' x '.join(map(str, shape))} bytes of data"
            raise _bad_row(column, row, expected, f"{len(pixels)}")
        arrays.append(pixels.reshape(shape))
    return arrays


def present_arrays(column: pa.StructArray) -> list[Pixels]:
    """Do the same as `struct_to_arrays`; a SparkdlError, naming its origin, for a null or undefined image."""
    arrays = []
    for row, array in enumerate(struct_to_arrays(column)):
        if array is None:
            origin = column.field("origin")[row].as_py()
            raise SparkdlError(f"image {origin!r} is null or undefined (mode -1); drop such rows before this stage")
        arrays.append(array)
    return arrays


def _bad_row(column: pa.StructArray, row: int, expected: str, received: str) -> SparkdlError:
    return SparkdlError(f"image {column.field('origin')[row].as_py()}: expected {expected}, received: {received}")


def binary_views(column: pa.Array) -> tuple[Pixels, npt.NDArray[np.int64]]:
    """Return the bytes of a binary column and the offsets of its rows in them, int64 [rows + 1]."""
    width = np.dtype(np.int64 if pa.types.is_large_binary(column.type) else np.int32)
    _, offsets, data = column.buffers()
    if not len(column) or offsets is None:
        return np.zeros(0, np.uint8), np.zeros(len(column) + 1, np.int64)
    starts = np.frombuffer(offsets, width, len(column) + 1, column.offset * width.itemsize)
    return np.frombuffer(data if data is not None else b"", np.uint8), starts.astype(np.int64)


def check_image_column(schema: StructType, name: str) -> None:
    """Raise a RequestError unless `schema` has a column `name` with Spark's image schema."""
    if name not in schema.names:
        raise RequestError(f"expected a column {name!r} of images, received columns {', '.join(schema.names)}")
    received = schema[name].dataType
    fields = [(field.name, field.dataType) for field in IMAGE_TYPE]
    if not isinstance(received, StructType) or [(f.name, f.dataType) for f in received] != fields:
        raise RequestError(
            f"expected column {name!r} of Spark's image schema, as sparkdl.read_images gives it, "
            f"received {received.simpleString()}"
        )
