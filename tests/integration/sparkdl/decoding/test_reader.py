"""Promises of `sparkdl.read_images`: which files it reads, their labels, and what it reports about other files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pictures import GRAY, HEIGHT, RGB, WIDTH, encode
from pyspark.sql import SparkSession

from sparkdl import Limits, read_images
from sparkdl.decoding.reader import UNREADABLE
from sparkdl.errors import RequestError
from sparkdl.images.schema import check_image_column
from sparkdl.system.file_uris import origin_of

COLOUR, SHADE = encode(RGB, "PNG"), encode(GRAY, "JPEG")


def write(root: Path, *names: str, payload: bytes = COLOUR) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(payload)
    return root


def labels(spark: SparkSession, paths: Any) -> dict[str, str]:
    """The label of each file, by its name."""
    rows = read_images(spark, paths, label_from_folder=True).select("origin", "label").collect()
    return {row.origin.rsplit("/", 1)[1]: row.label for row in rows}


def test_rows_have_sparks_image_schema(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, "colour.png")
    write(tmp_path, "shade.jpg", payload=SHADE)
    images = read_images(spark, tmp_path)
    check_image_column(images.schema, "image")
    assert images.columns == ["origin", "image", "reason", "detail"]
    colour, shade = images.orderBy("origin").collect()
    assert colour.image.asDict() == {
        "origin": origin_of(tmp_path / "colour.png"),
        "height": HEIGHT,
        "width": WIDTH,
        "nChannels": 3,
        "mode": 16,
        "data": RGB[..., ::-1].tobytes(),
    }
    assert (colour.origin, colour.reason, colour.detail) == (colour.image.origin, None, None)
    assert (shade.image.nChannels, shade.image.mode, len(shade.image.data)) == (1, 0, HEIGHT * WIDTH)


def test_what_is_no_image_has_a_reason_or_is_dropped(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, "good.png")
    write(tmp_path, "notes.png", payload=b"not an image")
    write(tmp_path, "empty.png", payload=b"")
    write(tmp_path, "long.png", payload=COLOUR + bytes(9000))
    images = read_images(spark, tmp_path, limits=Limits(max_bytes=8000))
    rows = {row.origin.rsplit("/", 1)[1]: row for row in images.collect()}
    assert {name: row.reason for name, row in rows.items()} == {
        "good.png": None,
        "notes.png": "unsupported_format",
        "empty.png": "empty",
        "long.png": "too_many_bytes",
    }
    for row in rows.values():
        assert (row.image is None) == (row.reason is not None) == (row.detail is not None)
    kept = read_images(spark, tmp_path, drop_invalid=True, limits=Limits(max_bytes=8000))
    assert kept.columns == ["image"]
    assert [row.image.origin for row in kept.collect()] == [origin_of(tmp_path / "good.png")]


def test_files_that_are_no_images_are_left_out_of_a_folder_and_named(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "a.png", "b.png.part")
    write(tmp_path, "notes.txt", payload=b"not an image")
    assert [row.image.origin for row in read_images(spark, tmp_path).collect()] == [origin_of(tmp_path / "a.png")]
    for said in ("2 left out: ", "1 temporary or system name (b.png.part)", "1 not an image (notes.txt)"):
        assert said in caplog.text
    assert [row.reason for row in read_images(spark, tmp_path / "notes.txt").collect()] == ["unsupported_format"]


def test_a_file_that_is_gone_when_it_is_read_is_said_so(spark: SparkSession, tmp_path: Path) -> None:
    images = read_images(spark, write(tmp_path, "a.png"))
    (tmp_path / "a.png").unlink()
    assert [(row.reason, row.detail) for row in images.collect()] == [("empty", UNREADABLE)]


def test_names_that_spark_hides_count_and_hidden_names_do_not(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, "_DSC0001.JPG", "_folder_/no suffix", "a b/100%25 ü.png", ".hidden.png", ".trash/a.png")
    assert labels(spark, tmp_path / "_folder_") == {"no%20suffix": "_folder_"}
    origins = {row.origin for row in read_images(spark, tmp_path).where("reason is null").collect()}
    assert origins == {
        origin_of(tmp_path / name) for name in ("_DSC0001.JPG", "_folder_/no suffix", "a b/100%25 ü.png")
    }


def test_a_name_that_is_not_utf_8_is_read(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, os.fsdecode(b"caf\xe9/\xff.png"))
    (row,) = read_images(spark, tmp_path, label_from_folder=True).collect()
    assert (row.label, row.reason) == ("caf\\xe9", None)
    assert row.origin.endswith("/caf%E9/%FF.png")


def test_the_label_is_the_first_folder_below_the_path(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, "rose/1.png", "rose/2019/2.png", "_tulip_/3.png")
    assert labels(spark, tmp_path) == {"1.png": "rose", "2.png": "rose", "3.png": "_tulip_"}
    assert labels(spark, f"{tmp_path}/_tulip_/") == {"3.png": "_tulip_"}
    (tmp_path / "empty").mkdir()
    assert labels(spark, f"{tmp_path}/[_e]*") == {"3.png": "_tulip_"}
    write(tmp_path, "nested/violet/4.png")
    assert labels(spark, f"{tmp_path}/[ne][em]*") == {"4.png": "violet"}
    assert labels(spark, f"{tmp_path}/*/*.png") == {"1.png": "rose", "3.png": "_tulip_"}
    assert labels(spark, [tmp_path / "rose" / "1.png", f"file:{tmp_path}/_tulip_"]) == {
        "1.png": "rose",
        "3.png": "_tulip_",
    }


def test_a_file_that_is_named_twice_is_read_once(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, "a/1.png", "a/2.png")
    paths = [tmp_path, f"{tmp_path}/a/*", tmp_path / "a" / "1.png", tmp_path / "a" / ".." / "a"]
    assert read_images(spark, paths).count() == 2


def test_a_name_with_the_characters_of_a_glob_is_taken_as_it_is(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, "a[1]/1.png", "a1/2.png")
    assert labels(spark, tmp_path / "a[1]") == {"1.png": "a[1]"}
    assert labels(spark, f"{tmp_path}/a[12]") == {"2.png": "a1"}


@pytest.mark.parametrize(
    ("names", "paths", "message"),
    [
        (["a/1.png"], lambda root: root / "b", r"no such file or directory: .*/b$"),
        (["a/1.png"], lambda root: f"{root}/*/*.jpg", r"no such file or directory: .*/\*/\*\.jpg$"),
        (["a/.1.png"], lambda root: root, r"no image files at .*$"),
        ([], lambda root: [], r"expected a file, a folder or a glob of images, received no path"),
        (
            ["a/1.png", "2.png", "3.png"],
            lambda root: root,
            r".*: 2 files are next to the label folders, so their label is not known \(the first: 2\.png\); move them",
        ),
        (
            ["a/1.png", "b/2019/2.png"],
            lambda root: f"{root}/*",
            r".*/b has folders below it and .*/a has not, so it is not clear which folders are the labels",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(
    spark: SparkSession, tmp_path: Path, names: list[str], paths: Callable[[Path], Any], message: str
) -> None:
    write(tmp_path, *names)
    with pytest.raises(RequestError, match=f"^{message}") as raised:
        read_images(spark, paths(tmp_path), label_from_folder=True)
    assert "\n" not in str(raised.value)


def test_many_large_pictures_need_no_setting_of_spark(spark: SparkSession, tmp_path: Path) -> None:
    # 700 pictures of a megapixel in one Arrow batch would be 2.1 GB.
    large = encode(RGB.repeat(42, axis=0).repeat(25, axis=1), "PNG", compress_level=9)
    write(tmp_path, "0.png", payload=large)
    for number in range(1, 60):
        (tmp_path / f"{number}.png").hardlink_to(tmp_path / "0.png")
    images = read_images(spark, tmp_path).coalesce(1)
    assert images.selectExpr("sum(length(image.data)) s").head().s == 60 * 42 * 25 * RGB.size


@pytest.fixture
def mounted(spark: SparkSession, tmp_path: Path) -> str:
    """The URI of `tmp_path` on a file system that is not the local one."""
    name = tmp_path.name.replace("_", "-")
    configuration: Any = spark.sparkContext._jsc.hadoopConfiguration()  # type: ignore[union-attr]
    configuration.set(f"fs.viewfs.mounttable.{name}.link./data", f"file://{tmp_path}")
    return f"viewfs://{name}/data"


def test_other_file_systems_are_read_by_spark(spark: SparkSession, tmp_path: Path, mounted: str) -> None:
    write(tmp_path, "rose/1 ü.png", "rose/2019/2.png", "tulip/3.png", "tulip/_SUCCESS", "tulip/.4.png")
    write(tmp_path, "tulip/notes.txt", payload=b"not an image")
    assert labels(spark, mounted) == {"1 ü.png": "rose", "2.png": "rose", "3.png": "tulip", "notes.txt": "tulip"}
    assert labels(spark, [f"{mounted}/*/*.png", tmp_path / "tulip" / "3.png"]) == {"1 ü.png": "rose", "3.png": "tulip"}
    rows = read_images(spark, f"{mounted}/tulip").orderBy("origin").collect()
    assert [(row.origin, row.reason) for row in rows] == [
        (f"{mounted}/tulip/3.png", None),
        (f"{mounted}/tulip/notes.txt", "unsupported_format"),
    ]
    assert rows[0].image.data == RGB[..., ::-1].tobytes()


def test_a_name_that_spark_would_pass_over_in_silence_is_refused(
    spark: SparkSession, tmp_path: Path, mounted: str
) -> None:
    write(tmp_path, "rose/1.png", "rose/_DSC2.JPG", "rose/_DSC3.JPG")
    message = f"{mounted}: 2 of 3 files have a name or folder that begins with '_', which Spark does not read on this"
    with pytest.raises(RequestError, match=f"^{re.escape(message)}"):
        read_images(spark, mounted)
