"""Promises of `streaming.sources.directory.stability`: a file that may still be written waits, one that is complete
does not.
"""

from __future__ import annotations

import io
import os
import struct
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from streams import encode

from sparkdl.formats.completeness import is_whole
from streaming.sources.directory.listing import WatchedFile, list_files
from streaming.sources.directory.stability import Stability
from training.data.synthetic.digits import draw_png

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "AVIF")


def whole(content: bytes) -> bool:
    return is_whole(lambda position, count: content[position : position + count], len(content))


def photo() -> bytes:
    """A JPEG as cameras write it: with a small one inside, which ends before the picture begins."""
    exif = Image.Exif()
    exif[0x010E] = "a camera"
    small = encode("JPEG")
    block = exif.tobytes() + small  # what readers of EXIF make of it does not matter
    target = io.BytesIO()
    with Image.open(io.BytesIO(draw_png(3, seed=1))) as image:
        image.convert("RGB").save(target, "JPEG", exif=block)
    content = target.getvalue()
    assert small in content
    return content


PICTURES = {name: encode(name) for name in FORMATS} | {"photo": photo()}


# --- by their end ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PICTURES)
def test_a_complete_picture_is_told_by_its_end(name: str) -> None:
    assert whole(PICTURES[name])


@pytest.mark.parametrize("name", PICTURES)
def test_no_beginning_of_a_picture_passes_for_a_complete_one(name: str) -> None:
    picture = PICTURES[name]
    assert [n for n in range(len(picture)) if whole(picture[:n])] == []


@pytest.mark.parametrize("name", PICTURES)
def test_a_file_of_full_length_that_is_filled_bit_by_bit_is_not_complete(name: str) -> None:
    picture = PICTURES[name]
    assert [n for n in range(len(picture) - 64) if whole(picture[:n] + bytes(len(picture) - n))] == []


@pytest.mark.parametrize(
    "content", [b"", encode("TIFF"), b"words", b"%PDF-1.7\n%%EOF\n", b"\xff\xd9", b"\x89PNG\r\n\x1a\n", b";"]
)
def test_a_file_without_an_end_that_is_known_is_in_doubt(content: bytes) -> None:
    assert not whole(content)


@given(start=st.sampled_from([b"", *(picture[:30] for picture in PICTURES.values())]), rest=st.binary(max_size=300))
def test_any_bytes_can_be_judged(start: bytes, rest: bytes) -> None:
    assert whole(start + rest) in (True, False)


def test_an_avif_of_endless_parts_is_judged_at_once() -> None:
    def box(kind: bytes, inside: bytes) -> bytes:
        return struct.pack(">I", 8 + len(inside)) + kind + inside

    places = bytes(6) + b"\xff\xff" + struct.pack(">HHH", 1, 0, 0xFFFF) * 65_535
    for inside in (box(b"iloc", places), box(b"free", b"") * 100_000):
        content = box(b"ftyp", b"avif\0\0\0\0avifmif1") + box(b"meta", bytes(4) + inside) + box(b"mdat", b"x" * 100)
        start = time.process_time()
        assert not whole(content)
        assert time.process_time() - start < 1


def test_a_jpeg_of_endless_segments_is_not_read_to_its_end() -> None:
    content = b"\xff\xd8\xff\xe0\x00\x02" + b"\xff\xe1\x00\x02" * 10_000 + b"\xff\xd9"
    reads = []

    def read(position: int, count: int) -> bytes:
        reads.append(position)
        return content[position : position + count]

    assert not is_whole(read, len(content))
    assert len(reads) < 200


# --- by time -----------------------------------------------------------------------------------------------------

HALF = PICTURES["PNG"][:100]


def put(directory: Path, content: bytes, ago: float = 0) -> WatchedFile:
    """`content` as a file that changed `ago` seconds before now."""
    (directory / "a.png").write_bytes(content)
    at = time.time_ns() - round(ago * 1e9)
    os.utime(directory / "a.png", ns=(at, at))
    (file,) = list_files(directory)
    return file


def stable(stability: Stability, file: WatchedFile, ago: float = 0) -> bool:
    """Whether it is, when it was observed `ago` seconds before now."""
    stability.observe([file], time.monotonic() - ago)
    return stability.is_stable(file)


def test_a_complete_file_is_settled_at_once(tmp_path: Path) -> None:
    assert stable(Stability(tmp_path, 60), put(tmp_path, PICTURES["PNG"]))


def test_half_a_file_is_settled_when_it_was_seen_without_change_for_the_time(tmp_path: Path) -> None:
    file = put(tmp_path, HALF)
    stability = Stability(tmp_path, 60)
    assert not stable(stability, file, ago=59)
    assert not stable(stability, file)
    assert stable(Stability(tmp_path, 60), file, ago=60)


def test_each_change_begins_the_time_anew(tmp_path: Path) -> None:
    stability = Stability(tmp_path, 60)
    assert not stable(stability, put(tmp_path, HALF[:50]), ago=59)
    file = put(tmp_path, HALF)
    assert not stable(stability, file, ago=58)
    assert stability.has_files


def test_half_a_file_that_changed_long_ago_is_settled_at_once(tmp_path: Path) -> None:
    assert stable(Stability(tmp_path, 60), put(tmp_path, HALF, ago=61))


def test_of_a_time_in_the_future_nothing_is_concluded(tmp_path: Path) -> None:
    file = put(tmp_path, HALF, ago=-1000)
    assert not stable(Stability(tmp_path, 60), file)
    assert stable(Stability(tmp_path, 60), file, ago=60)


def test_without_a_time_nothing_waits(tmp_path: Path) -> None:
    assert stable(Stability(tmp_path, 0), put(tmp_path, b""))


def test_a_file_that_is_complete_but_not_as_it_was_listed_is_looked_at_again(tmp_path: Path) -> None:
    listed = put(tmp_path, HALF)
    put(tmp_path, PICTURES["PNG"])
    assert not stable(Stability(tmp_path, 60), listed)


def test_a_file_that_is_gone_is_not_settled(tmp_path: Path) -> None:
    file = put(tmp_path, PICTURES["PNG"])
    (tmp_path / "a.png").unlink()
    assert not stable(Stability(tmp_path, 60), file)


def test_files_that_are_not_observed_any_more_are_forgotten(tmp_path: Path) -> None:
    stability = Stability(tmp_path, 60)
    stability.observe([put(tmp_path, HALF)], time.monotonic())
    assert stability.has_files
    stability.observe([], time.monotonic())
    assert not stability.has_files
