"""Rows of Spark's image schema."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pictures import GRAY, HEIGHT, RGB, SAMPLES, WIDTH, Array, encode
from pyspark.ml.image import ImageSchema
from pyspark.sql import SparkSession
from pyspark.sql.functions import arrow_udf

from sparkdl.decoding.udf import decode_images
from sparkdl.errors import SparkdlError
from sparkdl.images.schema import IMAGE_TYPE, arrays_to_struct, struct_to_arrays


def arrays_of_every_kind() -> list[Array | None]:
    random = np.random.default_rng(2)
    shapes = [(3, 5, 1), None, (4, 2, 3), (1, 1, 4), None, (7, 7, 3)]
    return [None if shape is None else random.integers(0, 256, shape, np.uint8) for shape in shapes]


def assert_same(received: list[Array | None], expected: list[Array | None]) -> None:
    assert len(received) == len(expected)
    for one, other in zip(received, expected, strict=True):
        assert (one is None) == (other is None)
        assert one is None or other is None or (one.shape == other.shape and np.array_equal(one, other))


def large(column: pa.StructArray) -> pa.StructArray:
    fields = [field.with_type(pa.large_binary()) if field.name == "data" else field for field in column.type]
    return column.cast(pa.struct(fields))


@pytest.mark.parametrize("widen", [lambda c: c, large], ids=["binary", "large_binary"])
@pytest.mark.parametrize(("start", "length"), [(0, 6), (1, 4), (2, 1), (5, 1), (3, 0)])
def test_arrays_survive_the_round_trip_through_rows(widen: Any, start: int, length: int) -> None:
    arrays = arrays_of_every_kind()
    column = widen(arrays_to_struct([f"file:/{row}" for row in range(6)], arrays))
    assert column.null_count == 2
    assert_same(struct_to_arrays(column.slice(start, length)), arrays[start : start + length])


def test_arrays_from_rows_share_the_columns_memory() -> None:
    column = arrays_to_struct(["a"], [np.ones((2, 2, 3), np.uint8)])
    (array,) = struct_to_arrays(column)
    buffer = column.field("data").buffers()[2]
    assert array is not None
    assert array.__array_interface__["data"][0] == buffer.address


def test_arrays_that_are_not_contiguous_make_the_right_rows() -> None:
    (array,) = struct_to_arrays(arrays_to_struct(["a"], [RGB[::2, ::-1, ::-1]]))
    assert_same([array], [RGB[::2, ::-1, ::-1]])


def test_no_rows_round_trip() -> None:
    assert struct_to_arrays(arrays_to_struct([], [])) == []


def row(**changes: Any) -> pa.StructArray:
    good = {"origin": "kafka://h/t/0/7", "height": 2, "width": 1, "nChannels": 3, "mode": 16, "data": b"abcdef"}
    return pa.array([None, good | changes], arrays_to_struct([], []).type).slice(1)


def test_an_undefined_row_has_no_array() -> None:
    assert struct_to_arrays(row(mode=-1, height=-1, width=-1, nChannels=-1, data=b"")) == [None]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": 5}, "mode 5 with 3"),
        ({"mode": 0}, "mode 0 with 3"),
        ({"data": b"abc"}, "expected 2 x 1 x 3 bytes of data, received: 3"),
        ({"height": -2, "width": -1}, "received: 6"),
    ],
)
def test_a_row_that_contradicts_itself_is_named_by_its_origin(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SparkdlError, match=f"image kafka://h/t/0/7: .*{message}"):
        struct_to_arrays(row(**changes))


@pytest.mark.parametrize("array", [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 2), np.uint8), np.zeros((2, 2, 3))])
def test_rows_are_made_of_uint8_images_only(array: Array) -> None:
    with pytest.raises(SparkdlError, match=r"image a: expected uint8 \[H, W, 1, 3 or 4\], received"):
        arrays_to_struct(["a"], [array])


def test_the_image_type_is_sparks_own(spark: SparkSession) -> None:
    assert ImageSchema.columnSchema == IMAGE_TYPE


@pytest.mark.parametrize("large_types", ["false", "true"])
def test_spark_decodes_each_row_to_an_image_or_a_reason(spark: SparkSession, large_types: str) -> None:
    rows = [
        ("file:/good", SAMPLES["PNG"]),
        ("file:/gray", encode(GRAY, "PNG")),
        ("file:/cut", SAMPLES["JPEG"][:-20]),
        ("file:/text", b"hello"),
        ("file:/null", None),
    ]
    frame = spark.createDataFrame(rows, "origin string, payload binary")
    spark.conf.set("spark.sql.execution.arrow.useLargeVarTypes", large_types)
    try:
        decoded = frame.select("origin", decode_images("payload", frame.origin).alias("decoded")).select(
            "origin", "decoded.*"
        )
        assert decoded.schema["image"].dataType == IMAGE_TYPE
        result = {r.origin: r for r in decoded.collect()}
    finally:
        spark.conf.unset("spark.sql.execution.arrow.useLargeVarTypes")

    assert {origin: r.reason for origin, r in result.items()} == {
        "file:/good": None,
        "file:/gray": None,
        "file:/cut": "truncated",
        "file:/text": "unsupported_format",
        "file:/null": "empty",
    }
    assert all((r.image is None) == (r.reason is not None) == (r.detail is not None) for r in result.values())
    image = result["file:/good"].image
    assert (image.origin, image.height, image.width, image.nChannels, image.mode) == (
        "file:/good",
        HEIGHT,
        WIDTH,
        3,
        16,
    )
    assert bytes(image.data) == RGB[..., ::-1].tobytes()
    assert result["file:/gray"].image.mode == 0


def test_decoded_rows_feed_another_arrow_function(spark: SparkSession) -> None:
    @arrow_udf("string")
    def shape(images: pa.Array) -> pa.Array:
        return pa.array([None if array is None else str(array.shape) for array in struct_to_arrays(images)])

    frame = spark.createDataFrame([("a", SAMPLES["PNG"]), ("b", b"no")], "origin string, payload binary")
    rows = frame.select("origin", shape(decode_images("payload", "origin")["image"]).alias("shape")).collect()
    assert dict(rows) == {"a": str((HEIGHT, WIDTH, 3)), "b": None}
