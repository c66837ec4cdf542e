"""Duplicates of a picture: how they are found, and that a split never puts them on both sides."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from refusals import refused

from training.data.duplicates import picture_key
from training.data.loading import Dataset, LabelledImage, open_dataset
from training.data.synthetic.digits import draw_png


def dataset_of(*pictures: tuple[str, str]) -> Dataset:
    """Of each image its label and its picture."""
    images = [
        LabelledImage(f"{index}.png", label, payload=picture.encode())
        for index, (label, picture) in enumerate(pictures)
    ]
    return Dataset("here", tuple(images))


def with_comment(payload: bytes, comment: str) -> bytes:
    file, info = io.BytesIO(), PngInfo()
    info.add_text("Comment", comment)
    Image.open(io.BytesIO(payload)).save(file, "PNG", pnginfo=info, dpi=(72, 72))
    return file.getvalue()


# What a duplicate is


def test_equal_files_are_duplicates_whatever_their_names() -> None:
    duplicates = dataset_of(("a", "x"), ("a", "y"), ("a", "x"), ("a", "x")).duplicates
    assert (duplicates.first, duplicates.count, duplicates.conflicts) == ((0, 1, 0, 0), 2, ())


def test_empty_files_are_no_duplicates_of_each_other() -> None:
    assert dataset_of(("a", ""), ("a", "")).duplicates.count == 0


def test_a_png_with_another_comment_is_the_same_picture() -> None:
    one, other = (with_comment(draw_png(3, 1), words) for words in ("scanned", "scanned again, elsewhere"))
    assert one != other
    assert picture_key(one) == picture_key(other)
    assert picture_key(one) != picture_key(with_comment(draw_png(3, 2), "scanned"))


def test_palette_and_transparency_are_part_of_a_picture() -> None:
    indices = Image.frombytes("P", (2, 1), b"\0\1")
    keys = set()
    for palette, transparency in (([0, 0, 0, 9, 9, 9], None), ([9, 9, 9, 0, 0, 0], None), ([0, 0, 0, 9, 9, 9], 0)):
        indices.putpalette(palette)
        file = io.BytesIO()
        indices.save(file, "PNG", transparency=transparency)
        keys.add(picture_key(file.getvalue()))
    assert len(keys) == 3


@given(st.binary(max_size=64), st.integers(0, 200))
def test_a_broken_png_is_only_a_duplicate_of_itself(tail: bytes, kept: int) -> None:
    broken = draw_png(3, 1)[:kept] + tail
    assert picture_key(broken) == picture_key(bytes(broken))
    assert picture_key(broken) != picture_key(b"other" + broken)


def test_duplicates_with_different_labels_are_named() -> None:
    dataset = dataset_of(("3", "x"), ("5", "x"), ("3", "x"), ("5", "y"), ("5", "y"))
    assert dataset.duplicates.conflicts == ("0.png (3), 1.png (5): the same picture with different labels",)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    dataset = Dataset("here", (LabelledImage("1.png", "a", tmp_path / "gone.png"),))
    with refused("1.png cannot be read: No such file"):
        dataset.digest()


def test_the_real_data_have_no_duplicates(numtadb_home: Path) -> None:
    for name in ("numta500", "isi500", "numtadb"):
        assert open_dataset(str(numtadb_home / name)).duplicates.count == 0


# The split


def sides(dataset: Dataset, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
    train, test = dataset.split(fraction, seed)
    assert Counter((*train, *test)) == Counter(dataset)  # disjoint and complete
    assert not {image.payload for image in train} & {image.payload for image in test}
    assert train.classes == test.classes == dataset.classes
    return train, test


@given(
    duplicates=st.dictionaries(
        st.sampled_from("abcd"), st.lists(st.integers(1, 4), min_size=20, max_size=60), min_size=2
    ),
    fraction=st.floats(0.2, 0.8),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_picture_is_on_both_sides_and_the_fraction_is_met(
    duplicates: dict[str, list[int]], fraction: float, seed: int
) -> None:
    pictures = [
        (label, f"{label}{number}")
        for label, times in duplicates.items()
        for number, count in enumerate(times)
        for _ in range(count)
    ]
    dataset = dataset_of(*pictures)
    train, test = sides(dataset, fraction, seed)
    for label, count in dataset.counts.items():
        assert (
            abs(test.counts[label] - count * fraction) <= 4
        )  # an image of rounding, and most of a picture's duplicates
    assert dataset.split(fraction, seed) == (train, test)


def test_where_most_pictures_are_single_the_fraction_is_met_to_the_image() -> None:
    pictures = [
        (label, f"{label}{max(number, 8)}") for label in "ab" for number in range(100)
    ]  # one of them nine times
    for seed in range(20):
        _, test = sides(dataset_of(*pictures), 0.2, seed)
        assert test.counts == {"a": 20, "b": 20}


def test_a_picture_with_two_labels_is_on_one_side() -> None:
    pictures = [(label, f"{label}{number}") for label in "ab" for number in range(10)]
    for seed in range(20):
        sides(dataset_of(*pictures, ("a", "both"), ("b", "both")), 0.3, seed)


def test_another_seed_is_another_split() -> None:
    dataset = dataset_of(*((label, f"{label}{number // 2}") for label in "ab" for number in range(40)))
    assert dataset.split(0.25, seed=1) != dataset.split(0.25, seed=2)


def test_a_class_of_duplicates_of_one_picture_is_refused_by_name() -> None:
    with refused("here", "class 'b' has one picture, 3 times"):
        dataset_of(*(("a", str(number)) for number in range(9)), *[("b", "x")] * 3).split(0.5, seed=0)


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_a_class_of_two_pictures_has_one_on_each_side(fraction: float) -> None:
    pictures = [(label, f"{label}{number}") for label in "ab" for number in (0, 0, 0, 0, 0, 1, 1, 1, 1, 1)]
    train, test = sides(dataset_of(*pictures), fraction, seed=0)
    assert (len(train), len(test)) == (10, 10)
