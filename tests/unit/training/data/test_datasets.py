"""Datasets: reading an address, reporting problems, and splitting."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from folders import labelled, write_files
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused

from sparkdl.errors import RequestError
from sparkdl.formats.image_files import list_images
from sparkdl.system.left_out import Why
from training.data.loading import Dataset, LabelledImage, natural_order, open_dataset


def dataset_of(counts: dict[str, int]) -> Dataset:
    images = [
        LabelledImage(f"{label}/{i}", label, payload=b"") for label, count in counts.items() for i in range(count)
    ]
    return Dataset("here", tuple(images))


# Label folders


def test_a_folder_is_a_label_and_every_image_below_it_is_one_of_its_class(tmp_path: Path) -> None:
    root = write_files(tmp_path, "cat/1.png", "cat/more/deep/2.JPG", "dog/3.webp")
    assert labelled(open_dataset(str(root))) == {"cat/1.png": "cat", "cat/more/deep/2.JPG": "cat", "dog/3.webp": "dog"}


def test_what_is_no_image_is_left_out_and_named(tmp_path: Path) -> None:
    root = write_files(tmp_path, "cat/1.png", "cat/notes.txt", "cat/archive.png.zip", "README.md", "loose.png")
    (root / "cat" / "folder.png").mkdir()
    dataset = open_dataset(str(root))
    assert list(labelled(dataset)) == ["cat/1.png"]
    told = {why: (named.count, sorted(named.names)) for why, named in dataset.left_out.reasons.items()}
    assert told == {
        Why.NOT_IMAGE: (3, ["README.md", "cat/archive.png.zip", "cat/notes.txt"]),
        Why.UNLABELLED: (1, ["loose.png"]),
    }
    assert str(dataset.left_out).startswith("4 left out: 3 not images (README.md, cat/")


def test_hidden_and_temporary_names_are_left_out_and_counted(tmp_path: Path) -> None:
    root = write_files(tmp_path, "cat/1.png", "cat/.1.png", "cat/.cache/2.png", ".git/4.png", "cat/2.png.part")
    dataset = open_dataset(str(root))
    assert list(labelled(dataset)) == ["cat/1.png"]
    assert {why: named.count for why, named in dataset.left_out.reasons.items()} == {Why.HIDDEN: 3, Why.TEMPORARY: 1}


def test_names_that_begin_with_an_underscore_count(tmp_path: Path) -> None:
    root = write_files(tmp_path, "_background_/_DSC0001.JPG", "cat/a/_old/b/3.png")
    assert labelled(open_dataset(str(root))) == {
        "_background_/_DSC0001.JPG": "_background_",
        "cat/a/_old/b/3.png": "cat",
    }


def test_a_pattern_leaves_out_more(tmp_path: Path) -> None:
    root = write_files(tmp_path, "cat/1.png", "cat/raw/2.png", "dog/3.bak.png", "dog/4.png")
    dataset = open_dataset(str(root), ignore=["raw/", "dog/*.bak.*"])
    assert list(labelled(dataset)) == ["cat/1.png", "dog/4.png"]
    assert str(dataset.left_out) == "2 left out: 2 named by --ignore (cat/raw/, dog/3.bak.png)"


def test_a_pattern_that_is_none_is_refused(tmp_path: Path) -> None:
    with refused("--ignore", "'!keep'"):
        open_dataset(str(write_files(tmp_path, "cat/1.png")), ignore=["!keep"])


def test_a_data_set_below_a_hidden_folder_is_read(tmp_path: Path) -> None:
    root = write_files(tmp_path / ".data" / "_set", "cat/1.png")
    assert list(labelled(open_dataset(str(root)))) == ["cat/1.png"]
    assert list_images(root / "cat") == ["1.png"]


def test_classes_are_ordered_as_people_count(tmp_path: Path) -> None:
    root = write_files(tmp_path, *(f"{label}/1.png" for label in ("10", "9", "zebra", "2", "0", "ant", "1")))
    dataset = open_dataset(str(root))
    assert dataset.classes == ("0", "1", "2", "9", "10", "ant", "zebra")
    assert tuple(dataset.counts) == dataset.classes


def test_labels_of_the_same_value_have_one_order_too() -> None:
    assert sorted(["1", "01", "১", "0"], key=natural_order) == sorted(["১", "01", "0", "1"], key=natural_order)


def test_images_come_in_the_same_order_each_time(tmp_path: Path) -> None:
    root = write_files(tmp_path, *(f"{label}/{i}.png" for label in "ba" for i in (3, 1, 2)))
    assert list(labelled(open_dataset(str(root)))) == [f"{label}/{i}.png" for label in "ab" for i in (1, 2, 3)]


def test_an_image_reads_its_file_or_its_drawn_bytes(tmp_path: Path) -> None:
    root = write_files(tmp_path, "cat/1.png")
    assert [image.read() for image in open_dataset(str(root))] == [b"cat/1.png"]
    assert LabelledImage("x", "cat", payload=b"drawn").read() == b"drawn"


def test_names_that_are_not_utf_8_become_valid_text(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\xff"))
    folder.mkdir()
    (folder / "1.png").write_bytes(b"x")
    (image,) = open_dataset(str(tmp_path))
    assert (image.name, image.label, image.read()) == ("a\\udcff/1.png", "a\\xff", b"x")


def test_numta500_has_500_images_50_a_class(numtadb_home: Path) -> None:
    dataset = open_dataset(str(numtadb_home / "numta500"))
    assert len(dataset) == 500
    assert dataset.counts == {str(digit): 50 for digit in range(10)}


# Synthetic digits


def test_samples_are_as_many_of_each_digit_as_asked_for() -> None:
    assert open_dataset("samples:3").counts == {str(digit): 3 for digit in range(10)}
    assert open_dataset("samples").counts == {str(digit): 100 for digit in range(10)}


def test_the_same_seed_draws_the_same_bytes_and_another_seed_others() -> None:
    def drawn(seed: int) -> list[bytes]:
        return [image.read() for image in open_dataset("samples:2", seed)]

    assert drawn(1) == drawn(1)
    assert not set(drawn(1)) & set(drawn(2))


@pytest.mark.parametrize("address", ["samples:0", "samples:-1", "samples:few", "samples:1.5"])
def test_a_number_of_samples_is_a_whole_one_above_zero(address: str) -> None:
    with refused("'samples:N'", address):
        open_dataset(address)


# Missing data


def test_a_missing_directory_is_refused() -> None:
    with refused("no such directory", "nowhere/at/all", "'samples'"):
        open_dataset("nowhere/at/all")


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    with refused("no such directory"):
        open_dataset(str(write_files(tmp_path, "1.png") / "1.png"))


def test_an_empty_directory_is_refused(tmp_path: Path) -> None:
    with refused("no labelled image", "<label>/<image>", "training-a.csv"):
        open_dataset(str(tmp_path))


def test_images_without_label_folders_are_refused(tmp_path: Path) -> None:
    with refused("no labelled image", "<label>/<image>"):
        open_dataset(str(write_files(tmp_path, "1.png", "2.png")))


# The digest


def test_the_digest_is_of_names_labels_and_contents(tmp_path: Path) -> None:
    root = write_files(tmp_path, "cat/1.png", "dog/2.png")
    before = open_dataset(str(root)).digest()
    assert open_dataset(str(root)).digest() == before

    (root / "dog" / "2.png").write_text("another picture")
    content = open_dataset(str(root)).digest()
    (root / "dog" / "2.png").write_text("dog/2.png")
    assert open_dataset(str(root)).digest() == before

    (root / "dog").rename(root / "wolf")
    label = open_dataset(str(root)).digest()
    (root / "wolf" / "2.png").rename(root / "wolf" / "3.png")
    name = open_dataset(str(root)).digest()
    assert len({before, content, label, name}) == 4


def test_the_digest_does_not_depend_on_where_the_data_lie(tmp_path: Path) -> None:
    here, there = (write_files(tmp_path / place, "cat/1.png", "dog/2.png") for place in ("here", "there"))
    assert open_dataset(str(here)).digest() == open_dataset(str(there)).digest()


# The split


def test_500_images_split_as_the_notebook_did(numtadb_home: Path) -> None:
    train, test = open_dataset(str(numtadb_home / "numta500")).split(0.22, seed=0)
    assert (len(train), len(test)) == (390, 110)
    assert set(train.counts.values()) == {39}
    assert set(test.counts.values()) == {11}
    assert not set(labelled(train)) & set(labelled(test))


def test_a_seed_gives_one_split_and_another_seed_another() -> None:
    dataset = dataset_of({"a": 50, "b": 50})
    assert dataset.split(0.2, seed=3) == dataset.split(0.2, seed=3)
    assert dataset.split(0.2, seed=3) != dataset.split(0.2, seed=4)


def check_split(dataset: Dataset, fraction: float, seed: int) -> None:
    train, test = dataset.split(fraction, seed)
    assert Counter((*train, *test)) == Counter(dataset)  # disjoint and complete
    assert train.classes == test.classes == dataset.classes
    for label, count in dataset.counts.items():
        assert abs(test.counts[label] - len(test) * count / len(dataset)) < 1 + 1e-9


@given(
    counts=st.dictionaries(st.sampled_from("abcdefgh"), st.integers(10, 40), min_size=2),
    fraction=st.floats(0.2, 0.8),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_split_is_disjoint_complete_and_has_every_class_on_both_sides(
    counts: dict[str, int], fraction: float, seed: int
) -> None:
    check_split(dataset_of(counts), fraction, seed)


@given(
    counts=st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 12), min_size=1),
    fraction=st.floats(allow_nan=True),
    seed=st.integers(-5, 5),
)
def test_what_cannot_be_split_so_is_refused(counts: dict[str, int], fraction: float, seed: int) -> None:
    refusal = ""
    try:
        check_split(dataset_of(counts), fraction, seed)
    except RequestError as error:
        refusal = str(error)
    assert "\n" not in refusal


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 22.0, float("nan")])
def test_a_test_fraction_lies_between_0_and_1(fraction: float) -> None:
    with refused("between 0 and 1", str(fraction)):
        dataset_of({"a": 5, "b": 5}).split(fraction, seed=0)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    with refused("seed", str(seed)):
        dataset_of({"a": 5, "b": 5}).split(0.2, seed)
    with refused("seed", str(seed)):
        open_dataset("samples:1", seed)


def test_one_class_is_refused() -> None:
    with refused("here", "at least two classes", "'a'"):
        dataset_of({"a": 5}).split(0.2, seed=0)


def test_a_class_with_one_image_is_refused_by_name() -> None:
    with refused("here", "class 'b' has one image"):
        dataset_of({"a": 5, "b": 1}).split(0.2, seed=0)


@pytest.mark.parametrize("fraction", [0.05, 0.95])
def test_a_fraction_that_cannot_hold_all_classes_is_refused(fraction: float) -> None:
    with refused("10 classes", str(fraction)):
        dataset_of({str(digit): 4 for digit in range(10)}).split(fraction, seed=0)


@pytest.mark.parametrize("fraction", [0.1, 0.9])
def test_a_class_too_rare_for_both_parts_is_refused_by_name(fraction: float) -> None:
    with refused("class 'rare' has 2 of 202 images", str(fraction)):
        dataset_of({"common": 200, "rare": 2}).split(fraction, seed=0)


def test_both_parts_keep_the_address_and_the_problems() -> None:
    whole = Dataset("here", dataset_of({"a": 5, "b": 5}).images, ("2.png: missing",))
    assert {(part.address, part.problems) for part in whole.split(0.2, seed=0)} == {("here", ("2.png: missing",))}
