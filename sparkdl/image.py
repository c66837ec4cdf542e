"""Untrusted encoded bytes to rows of Spark's image schema: one safe decoder, and rows to arrays and back."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile
from pyspark.sql.types import BinaryType, IntegerType, StringType, StructField, StructType

from sparkdl.arrow import arrow_udf
from sparkdl.containers import identify
from sparkdl.errors import RequestError, SparkdlError
from sparkdl.pixels import Pixels, scale_transparency, to_array, to_gray, upright
from sparkdl.png import lacks_rows
from sparkdl.quiet import libtiff_complaints, quiet
from sparkdl.rejection import DEFAULT_LIMITS, MEANINGS, Limits, Reason, Refused, Rejected

if TYPE_CHECKING:
    from pyspark.sql import Column

__all__ = [
    "DECODED_TYPE",
    "IMAGE_TYPE",
    "MEANINGS",
    "Limits",
    "Reason",
    "Rejected",
    "arrays_to_struct",
    "check_image_column",
    "decode",
    "decode_images",
    "struct_to_arrays",
    "to_gray",
]

# The plugins are called directly, not through `Image.open`: no other plugin ever sees bytes from outside, and
# Pillow's limit on pixels, one number for the whole process, is neither relied on nor changed.
_DECODERS: dict[str, Callable[[io.BytesIO], Image.Image]] = {
    "PNG": PngImageFile,
    "JPEG": JpegImageFile,
    "BMP": BmpImageFile,
    "GIF": GifImageFile,
    "TIFF": TiffImageFile,
    "WEBP": WebPImageFile,
}

_UNKNOWN_VARIANTS = ("unsupported", "cannot handle", "not yet supported", "unknown pixel mode", "unknown data organ")
"""How Pillow words that a file is sound but of a kind that it does not decode."""


def decode(payload: bytes | None, limits: Limits = DEFAULT_LIMITS) -> Pixels | Rejected:
    """Decode PNG, JPEG, BMP, GIF, TIFF or WebP into uint8 [height, width, channels], channels 1 (gray) or 3 (BGR).

    The array is C-contiguous and may be read-only. Orientation in EXIF is applied, transparency is composited on
    white, of an animation or of several pages the first is taken; `sparkdl.pixels.to_array` has the table of modes.

    Never raises, warns or prints: whatever cannot be decoded comes back as a `Rejected`. Damage is found where the
    format lets it be found: always in PNG, which has checksums; in GIF, JPEG, TIFF and WebP where it breaks the
    structure or the code, otherwise not; never in the pixels of an uncompressed BMP or TIFF, which have no redundancy.
    """
    if not payload:
        return Rejected(Reason.EMPTY, "null" if payload is None else "0 bytes")
    if len(payload) > limits.max_bytes:
        return Rejected(Reason.TOO_MANY_BYTES, f"more than the {limits.max_bytes} bytes that are admitted")

    name = "image"

    def admit(width: int, height: int) -> None:
        if width < 1 or height < 1:
            raise Refused(Reason.CORRUPT, f"{name}: {width} x {height} pixels")
        if width * height > limits.max_pixels:
            detail = f"{width} x {height} = {width * height} pixels, at most {limits.max_pixels} are admitted"
            raise Refused(Reason.TOO_MANY_PIXELS, f"{name}: {detail}")

    try:
        container = identify(payload)
        name = container.name
        container.survey(payload, admit)
        with quiet():
            return _decode_whole(name, payload, admit)
    except Refused as refused:
        return refused.rejected
    except (MemoryError, Image.DecompressionBombError) as error:
        return Rejected(Reason.TOO_MANY_PIXELS, f"{name}: {error or 'out of memory'}")
    except Exception as error:  # noqa: BLE001 - hostile bytes can raise anything; the promise is that nothing gets out
        reason = Reason.UNSUPPORTED_FORMAT if _is_unknown_variant(error) else Reason.CORRUPT
        return Rejected(reason, f"{name}: {type(error).__name__}: {error}")


def _decode_whole(name: str, payload: bytes, admit: Callable[[int, int], None]) -> Pixels:
    if name != "TIFF":
        image = _DECODERS[name](io.BytesIO(payload))
        admit(*image.size)
        if isinstance(image, PngImageFile):
            scale_transparency(image)
        image.load()
        if name == "PNG" and lacks_rows(image, payload):
            raise Refused(Reason.CORRUPT, "PNG: the pixel data ends before the last row")
        return to_array(upright(image))
    with libtiff_complaints() as complaints:
        image = _DECODERS[name](io.BytesIO(payload))
        admit(*image.size)
        image.load()
        array = to_array(upright(image))
    if complaints:
        raise Refused(Reason.CORRUPT, f"TIFF: {complaints[0]}")
    return array


def _is_unknown_variant(error: Exception) -> bool:
    text = str(error).lower()
    return any(words in text for words in _UNKNOWN_VARIANTS)


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
"""Spark's image schema, as `pyspark.ml.image.ImageSchema.columnSchema`, which needs a session to be asked."""

DECODED_TYPE = StructType(
    [
        StructField("image", IMAGE_TYPE, True),
        StructField("reason", StringType(), True),
        StructField("detail", StringType(), True),
    ]
)
"""What `decode_images` returns: `image`, or `reason` (a `Reason`) and `detail`."""

_MODES = {1: 0, 3: 16, 4: 24}
"""Channels to OpenCV's type codes: CV_8UC1, CV_8UC3, CV_8UC4."""
_UNDEFINED = -1

_ARROW_FIELDS = [
    pa.field("origin", pa.string()),
    *(pa.field(name, pa.int32(), nullable=False) for name in ("height", "width", "nChannels", "mode")),
    pa.field("data", pa.binary(), nullable=False),
]


def arrays_to_struct(origins: Sequence[str | None], arrays: Sequence[Pixels | None]) -> pa.StructArray:
    """Rows of `IMAGE_TYPE` from arrays uint8 [H, W, 1, 3 or 4]; None becomes a null row.

    Raises `SparkdlError` for an array of another kind, and when the rows hold more than the 2 GiB of one Arrow array.
    """
    if len(origins) != len(arrays):
        raise SparkdlError(f"expected as many origins as arrays, received: {len(origins)} and {len(arrays)}")
    for origin, array in zip(origins, arrays, strict=True):
        if array is not None and (array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in _MODES):
            received = f"{array.dtype} {list(array.shape)}"
            raise SparkdlError(f"image {origin}: expected uint8 [H, W, 1, 3 or 4], received: {received}")
    shapes = np.array([(0, 0, 0) if a is None else a.shape for a in arrays], np.int64).reshape(-1, 3)
    offsets = np.concatenate([[0], np.cumsum(shapes.prod(axis=1))])
    if offsets[-1] > np.iinfo(np.int32).max:
        raise SparkdlError(
            f"{len(arrays)} images hold {offsets[-1]} bytes, more than one Arrow array can: "
            "lower spark.sql.execution.arrow.maxRecordsPerBatch"
        )
    data = b"".join(np.ascontiguousarray(a).data for a in arrays if a is not None)
    height, width, channels = (pa.array(column.astype(np.int32)) for column in shapes.T)
    modes = pa.array([_MODES.get(int(count), _UNDEFINED) for count in shapes[:, 2]], pa.int32())
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(data)]
    binary = pa.Array.from_buffers(pa.binary(), len(arrays), buffers)
    columns = [pa.array(origins, pa.string()), height, width, channels, modes, binary]
    nulls = pa.array([array is None for array in arrays], pa.bool_())
    return pa.StructArray.from_arrays(columns, fields=_ARROW_FIELDS, mask=nulls)


def struct_to_arrays(column: pa.StructArray) -> list[Pixels | None]:
    """Arrays uint8 [H, W, nChannels] from rows of `IMAGE_TYPE`; None for a null row and for mode -1 (undefined).

    The arrays are read-only views of the column's own buffer. `data` may be binary or large binary.
    Raises `SparkdlError`, naming the row's origin, for an unsupported mode or a length that does not fit the shape.
    """
    heights, widths, channels, modes = (
        column.field(name).fill_null(_UNDEFINED).to_numpy() for name in ("height", "width", "nChannels", "mode")
    )
    present = column.is_valid().to_numpy(zero_copy_only=False)
    data, offsets = _binary_views(column.field("data"))

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


def _bad_row(column: pa.StructArray, row: int, expected: str, received: str) -> SparkdlError:
    return SparkdlError(f"image {column.field('origin')[row].as_py()}: expected {expected}, received: {received}")


def _binary_views(column: pa.Array) -> tuple[Pixels, npt.NDArray[np.int64]]:
    """The bytes under a binary column, and where its rows begin and end in them: int64 [rows + 1]."""
    width = np.dtype(np.int64 if pa.types.is_large_binary(column.type) else np.int32)
    _, offsets, data = column.buffers()
    if not len(column) or offsets is None:
        return np.zeros(0, np.uint8), np.zeros(len(column) + 1, np.int64)
    starts = np.frombuffer(offsets, width, len(column) + 1, column.offset * width.itemsize)
    return np.frombuffer(data if data is not None else b"", np.uint8), starts.astype(np.int64)


def decode_images(payload: Column | str, origin: Column | str, limits: Limits = DEFAULT_LIMITS) -> Column:
    """A column that decodes encoded images: struct<image: IMAGE_TYPE, reason: string, detail: string>.

    Each row has either an `image` or a `reason` with its `detail`; the others are null. A scalar Arrow UDF: Spark runs
    it in the same Python call as its neighbours. One batch's pixels must stay under 2 GiB
    (`spark.sql.execution.arrow.maxRecordsPerBatch`).
    """

    def decoded(payloads: pa.Array, origins: pa.Array) -> pa.Array:
        return _decode_column(payloads, origins, limits)

    # PySpark's stub asks for the kind of function, but at run time that is taken from the type hints.
    udf = arrow_udf(decoded, DECODED_TYPE)
    return udf(payload, origin)


def _decode_column(payloads: pa.Array, origins: pa.Array, limits: Limits) -> pa.StructArray:
    results = [decode(payload.as_py(), limits) for payload in payloads]
    rejected = [result if isinstance(result, Rejected) else None for result in results]
    images = arrays_to_struct(
        origins.to_pylist(), [None if isinstance(result, Rejected) else result for result in results]
    )
    reasons = pa.array([r and r.reason.value for r in rejected], pa.string())
    details = pa.array([r and r.detail for r in rejected], pa.string())
    return pa.StructArray.from_arrays([images, reasons, details], names=DECODED_TYPE.names)


def check_image_column(schema: StructType, name: str) -> None:
    """Raises a RequestError unless `schema` has a column `name` of Spark's image schema."""
    if name not in schema.names:
        raise RequestError(f"expected a column {name!r} of images, received columns {', '.join(schema.names)}")
    received = schema[name].dataType
    fields = [(field.name, field.dataType) for field in IMAGE_TYPE]
    if not isinstance(received, StructType) or [(f.name, f.dataType) for f in received] != fields:
        raise RequestError(
            f"expected column {name!r} of Spark's image schema, as spark.read.format('image') gives it, "
            f"received {received.simpleString()}"
        )
