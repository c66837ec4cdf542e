"""Promises of `sparkdl.formats.image_files`: what is an image file, by its first bytes or its suffix."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from another_user import UID, shared_directory
from needs import need
from PIL import Image

from sparkdl.formats.image_files import is_image, list_images
from sparkdl.system.ignored_names import IgnoredNames
from sparkdl.system.left_out import LeftOut, Why


def encode(image_format: str) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(target, image_format)
    return target.getvalue()


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP"])
@pytest.mark.parametrize("name", ["IMG_1", "IMG_1.dat", "IMG_1.JPG"])
def test_a_file_that_begins_as_an_image_is_one_whatever_its_name(name: str, image_format: str) -> None:
    assert is_image(name, encode(image_format)[:32])


@pytest.mark.parametrize(
    "head",
    [HEIC, HEIC.replace(b"heic", b"avif"), b"\0\0\0\x0cJXL \r\n\x87\n", b"\xff\x4f\xff\x51\0/"],
    ids=["HEIC", "AVIF", "JPEG XL", "JPEG 2000"],
)
def test_an_image_of_a_format_that_may_be_refused_is_one_too(head: bytes) -> None:
    assert is_image("IMG_1", head)


@pytest.mark.parametrize("name", ["a.jfif", "a.JPE", "a.heic", "a.tif", "a.webp", "a.dib"])
def test_a_file_with_the_suffix_of_an_image_is_one_whatever_is_in_it(name: str) -> None:
    assert is_image(name, b"<!doctype html>")


@pytest.mark.parametrize(
    "head", [b"", b"BM and other words", b"%PDF-1.7", b"PK\3\4", b"\0\0\0\x18ftypisom", b"file,label\n"]
)
def test_other_files_are_none(head: bytes) -> None:
    assert not is_image("notes.txt", head)


def test_files_are_listed_in_the_order_of_their_folders_and_what_is_left_out_is_said(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a b").mkdir()
    for name in ("a/b/_1", "a/z.bin", "a b/y.PNG", "x.gif"):
        (tmp_path / name).write_bytes(encode("PNG"))
    (tmp_path / "a" / "notes.txt").write_text("words")
    (tmp_path / "a" / "x.png.part").write_bytes(encode("PNG"))
    (tmp_path / "a" / "link").symlink_to(tmp_path / "a b")
    os.mkfifo(tmp_path / "a" / "pipe.png")
    left_out = LeftOut()
    assert list_images(tmp_path, left_out, IgnoredNames(["x.*"])) == ["a/b/_1", "a/z.bin", "a b/y.PNG"]
    assert {why: (of.count, sorted(of.names)) for why, of in left_out.reasons.items()} == {
        Why.NOT_IMAGE: (1, ["a/notes.txt"]),
        Why.TEMPORARY: (1, ["a/x.png.part"]),
        Why.NOT_REGULAR: (2, ["a/link/", "a/pipe.png"]),
        Why.IGNORED: (1, ["x.gif"]),
    }


def test_a_part_is_listed_with_paths_from_the_whole(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "1.png").touch()
    (tmp_path / "2.png").touch()
    assert list_images(tmp_path, below="a/") == ["a/b/1.png"]


def test_what_may_not_be_read_is_left_out_with_the_reason() -> None:
    need(os.geteuid() == 0, "only root can become another user")
    with shared_directory() as directory:
        (directory / "closed").mkdir(mode=0o700)
        (directory / "closed" / "1.png").touch()
        (directory / "unknown").touch(mode=0o600)
        (directory / "secret.png").touch(mode=0o600)
        (directory / "2.png").touch()
        left_out = LeftOut()
        os.seteuid(UID)
        try:
            assert list_images(directory, left_out) == ["2.png"]
        finally:
            os.seteuid(0)
    (unreadable,) = left_out.reasons.values()
    assert list(left_out.reasons) == [Why.UNREADABLE]
    assert sorted(unreadable.names) == [f"{name}: Permission denied" for name in ("closed/", "secret.png", "unknown")]
