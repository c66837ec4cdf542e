"""Labelled images from NumPy arrays: reading, naming, and refusing files before they are read."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from images import noise
from paths import ROOT
from PIL import Image
from refusals import refused

from sparkdl.decoding.decode import decode
from sparkdl.errors import RequestError
from training.data.loading import Dataset, open_dataset
from training.data.npz import read_npz

GRAY = noise(1, 3, 5, 4)  # three images of 5 x 4


def open_arrays(directory: Path, **arrays: Any) -> Dataset:
    path = directory / "digits.npz"
    np.savez_compressed(path, **arrays)
    return open_dataset(str(path))


def labelled(dataset: Dataset) -> dict[str, str]:
    return {image.name: image.label for image in dataset}


def pixels(dataset: Dataset) -> list[np.ndarray[Any, Any]]:
    return [np.asarray(Image.open(io.BytesIO(image.read()))) for image in dataset]


# Reading


@pytest.mark.parametrize("shape", [(3, 5, 4), (3, 5, 4, 1), (3, 5, 4, 3), (3, 5, 4, 4), (1, 200, 190, 4)])
def test_pixels_come_back_as_they_were(tmp_path: Path, shape: tuple[int, ...]) -> None:
    x = noise(2, *shape)
    found = pixels(open_arrays(tmp_path, x=x, y=np.arange(shape[0])))
    np.testing.assert_array_equal(np.stack(found), x[..., 0] if shape[3:] == (1,) else x)


def test_colours_are_red_green_blue(tmp_path: Path) -> None:
    red = np.full((1, 2, 2, 3), (255, 0, 0), np.uint8)
    (image,) = open_arrays(tmp_path, x=red, y=[0])
    np.testing.assert_array_equal(decode(image.read()), red[0, :, :, ::-1])  # BGR, as Spark has it


def test_arrays_in_the_order_of_columns_are_read_too(tmp_path: Path) -> None:
    x = np.asfortranarray(GRAY)
    np.testing.assert_array_equal(np.stack(pixels(open_arrays(tmp_path, x=x, y=np.arange(3)))), x)


@pytest.mark.parametrize("y", [[4, 0, 11], np.array([4, 0, 11], ">i8"), np.array(["4", "0", "11"])])
def test_labels_are_whole_numbers_or_strings(tmp_path: Path, y: Any) -> None:
    assert labelled(open_arrays(tmp_path, x=GRAY, y=y)) == {
        "digits/00000.png": "4",
        "digits/00001.png": "0",
        "digits/00002.png": "11",
    }


def test_labels_are_composed(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    assert open_arrays(tmp_path, x=GRAY, y=[composed, decomposed, "tea"]).counts == {composed: 2, "tea": 1}


def test_the_name_of_its_part_is_in_the_name_of_an_image(tmp_path: Path) -> None:
    dataset = open_arrays(tmp_path, x=GRAY, y=[1, 2, 3], set=["a", "train-b", "a"])
    assert list(labelled(dataset)) == ["digits/a/00000.png", "digits/train-b/00001.png", "digits/a/00002.png"]


def test_an_image_without_a_label_is_a_problem_where_one_is_needed(tmp_path: Path) -> None:
    dataset = open_arrays(tmp_path, x=GRAY, y=["cat", "", "dog"])
    assert dataset.counts == {"cat": 1, "dog": 1}
    assert dataset.problems == ("digits/00001.png: it has no label",)
    assert open_dataset(dataset.address, require_labels=False).counts == {"": 1, "cat": 1, "dog": 1}


def test_the_digest_does_not_depend_on_how_the_file_is_packed(tmp_path: Path) -> None:
    (tmp_path / "stored").mkdir()
    np.savez(tmp_path / "stored" / "digits.npz", x=GRAY, y=[1, 2, 3])
    stored = open_dataset(str(tmp_path / "stored" / "digits.npz"))
    assert stored.digest() == open_arrays(tmp_path, x=GRAY, y=np.array([1, 2, 3], np.uint8)).digest()


def test_numta28_opens_with_its_parts(numtadb_home: Path) -> None:
    dataset = open_dataset(str(numtadb_home / "numta28.npz"))
    assert len(dataset) == 29_500
    assert dataset.problems == ()
    assert dataset.images[17].name == "numta28/a/00017.png"
    assert len({image.name for image in dataset}) == len(dataset)
    with np.load(numtadb_home / "numta28.npz") as arrays:
        assert [image.label for image in dataset] == [str(label) for label in arrays["y"]]
        np.testing.assert_array_equal(pixels(dataset)[17], arrays["x"][17])


# Refusing


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"y": [1]}, "it has no array x"),
        ({"images": GRAY, "labels": [1, 2, 3]}, "it has no array x and no array y"),
        ({"x": GRAY.astype(np.float32), "y": [1, 2, 3]}, "received float32 [3, 5, 4]"),
        ({"x": GRAY[0], "y": [1, 2, 3]}, "received uint8 [5, 4]"),
        ({"x": noise(1, 3, 5, 4, 2), "y": [1, 2, 3]}, "received uint8 [3, 5, 4, 2]"),
        ({"x": GRAY[:0], "y": GRAY[:0, 0, 0]}, "expected at least one image"),
        ({"x": GRAY[:, :0], "y": [1, 2, 3]}, "at least one image and one pixel"),
        ({"x": GRAY, "y": [1, 2]}, "array y has 2 entries, array x has 3 images"),
        ({"x": GRAY, "y": [1.0, 2.0, 3.0]}, "expected whole numbers or strings [n], received float64 [3]"),
        ({"x": GRAY, "y": [[1], [2], [3]]}, "received int64 [3, 1]"),
        ({"x": GRAY, "y": np.array([1, "a", None], object)}, "array y contains Python objects"),
        ({"x": np.array([GRAY], object), "y": [1]}, "array x contains Python objects"),
        ({"x": GRAY, "y": ["a", "b", "c" * 257]}, "strings of 1 to 256 characters"),
        ({"x": GRAY, "y": [1, 2, 3], "set": [1, 2, 3]}, "array set: expected strings [n], received int64 [3]"),
        ({"x": GRAY, "y": [1, 2, 3], "set": ["a", "b"]}, "array set has 2 entries"),
        ({"x": GRAY, "y": [1, 2, 3], "set": ["a", "../b", "c"]}, "received '../b'"),
        ({"x": GRAY, "y": [1, 2, 3], "set": ["a", "", "c"]}, "received ''"),
    ],
)
def test_arrays_of_another_kind_are_refused_in_one_line(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    with refused("digits.npz: ", words):
        open_arrays(tmp_path, **arrays)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x05\x06" + bytes(18), b"\x93NUMPY\x01\x00"])
def test_what_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "digits.npz").write_bytes(content)
    with refused("digits.npz"):
        open_dataset(str(tmp_path / "digits.npz"))


def test_a_file_that_is_not_there_is_refused() -> None:
    with refused("nowhere.npz", "FILE.npz"):
        open_dataset("nowhere.npz")


def npy(shape: str, descr: str = "'|u1'") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


def write_members(path: Path, **members: bytes) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return str(path)


@pytest.mark.parametrize("shape", ["(1, 99999999, 99999999)", "(99999999, 1, 1)", f"({2**62}, {2**62}, {2**62})"])
def test_a_bomb_is_refused_by_what_it_declares(tmp_path: Path, shape: str) -> None:
    address = write_members(tmp_path / "bomb.npz", x=npy(shape) + bytes(2**20), y=npy("(1,)") + b"\0")
    with refused("bomb.npz", "at most 1000000 images and 1073741824 bytes"):
        open_dataset(address)


def test_all_arrays_count_for_the_gigabyte(tmp_path: Path) -> None:
    longest = npy("(1000000,)", "'<U256'")
    address = write_members(tmp_path / "bomb.npz", x=npy("(1000000, 1, 1)") + bytes(10**6), y=longest, set=longest)
    with refused("bomb.npz", "at most 1073741824 bytes", "its arrays x, y, set declare 2049000000"):
        open_dataset(address)


def test_labels_take_little_more_memory_than_they_declare(tmp_path: Path) -> None:
    count = 100_000
    y = np.full(count, "\U0001f600" * 256)  # 102 MB
    np.savez_compressed(tmp_path / "digits.npz", x=np.zeros((count, 1, 1), np.uint8), y=y)
    program = (
        "import resource, sys; from training.data.npz import _read; import zipfile\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "assert len(_read(zipfile.ZipFile(sys.argv[1]))[1]) == 100_000\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "digits.npz")]
    taken = int(subprocess.run(command, capture_output=True, check=True, cwd=ROOT).stdout)
    assert taken < 100_000  # kB; 211,000 where the array and a string an entry are held


def test_an_archive_of_countless_members_is_refused_before_they_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "digits.npz"
    np.savez(path, x=GRAY, y=[1, 2, 3])
    with zipfile.ZipFile(path, "a") as archive:
        for number in range(30_000):
            archive.writestr(str(number), b"")
    with refused("digits.npz", "expected an archive of a few arrays"):
        open_dataset(str(path))
    with zipfile.ZipFile(path, "a") as archive:  # with an end for archives that are larger still
        for number in range(40_000):
            archive.writestr(f"more {number}", b"")
    with refused("digits.npz", "expected an archive of a few arrays"):
        open_dataset(str(path))


@pytest.mark.parametrize(
    ("member", "words"),
    [
        (npy("(1, 2, 2)") + b"abc", "more or fewer bytes"),
        (npy("(1, 2, 2)") + b"abcde", "more or fewer bytes"),
        (npy("(-1, 2, 2)") + b"abcd", "array x"),
        (npy("(1, 2, 2)", "'nonsense'") + b"abcd", "does not have the header that NumPy writes"),
        (npy("(1, 2, 2)", "[('a', 'u1')]") + b"abcd", "array x: expected uint8"),
        (b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + bytes(2**20), "does not have the header that NumPy writes"),
        (b"", "does not have the header that NumPy writes"),
    ],
)
def test_an_array_that_contradicts_itself_is_refused(tmp_path: Path, member: bytes, words: str) -> None:
    address = write_members(tmp_path / "digits.npz", x=member, y=npy("(1,)") + b"\0")
    with refused("digits.npz", words):
        open_dataset(address)


@pytest.mark.parametrize(
    ("kind", "content", "words"),
    [
        ("'<U1'", struct.pack("<I", 0x110000), "invalid Unicode"),
        ("'>U1'", struct.pack(">I", 0x110000), "invalid Unicode"),
        ("'<U0'", b"", "strings of 1 to 256 characters"),
    ],
)
def test_a_label_that_is_no_text_is_refused(tmp_path: Path, kind: str, content: bytes, words: str) -> None:
    y = npy("(1,)", kind) + content
    with refused("digits.npz", "array y", words):
        open_dataset(write_members(tmp_path / "digits.npz", x=npy("(1, 1, 1)") + b"\0", y=y))


@given(st.data())
def test_a_damaged_file_is_read_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    file = io.BytesIO()
    np.savez(file, x=GRAY, y=["a", "b", "c"], set=["p", "q", "p"])
    content = bytearray(file.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    refusal = "damaged.npz: "
    try:
        assert len(read_npz("damaged.npz", path, require_labels=False)) == 3
    except RequestError as error:
        refusal = str(error)
    assert refusal.startswith("damaged.npz: ")
    assert "\n" not in refusal
