"""Promises of `producer.replay`: whole files only, none replaced, in the order and at the rate asked for."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from producer.replay import replay_to_directory, sequence
from sparkdl.errors import RequestError, SparkdlError
from training.data.loading import Dataset, LabelledImage


def dataset(count: int, size: int = 10) -> Dataset:
    """`count` images of `size` bytes, no two alike, in two folders."""
    return Dataset(
        "made",
        tuple(
            LabelledImage(f"{n % 2}/{n:04d}.png", str(n % 2), payload=n.to_bytes(4, "big") * (size // 4))
            for n in range(count)
        ),
    )


def names(images: Dataset, **options: object) -> list[str]:
    return [image.name for image, _ in sequence(images, **options)]  # type: ignore[arg-type]


# --- the order ---------------------------------------------------------------------------------------------------


def test_each_image_comes_once_in_the_order_of_the_data() -> None:
    images = dataset(5)
    assert names(images) == [image.name for image in images]


def test_a_limit_takes_the_first() -> None:
    assert names(dataset(5), limit=3) == names(dataset(5))[:3]
    assert names(dataset(5), limit=0) == []
    assert len(names(dataset(5), limit=9)) == 5


def test_a_shuffled_order_is_another_and_repeatable() -> None:
    images = dataset(50)
    first = names(images, shuffle=True, seed=1)
    assert first == names(images, shuffle=True, seed=1)
    assert first != names(images, shuffle=True, seed=2)
    assert first != names(images)
    assert sorted(first) == sorted(names(images))


def test_a_loop_goes_on_and_counts_its_rounds() -> None:
    sent = list(itertools.islice(sequence(dataset(3), loop=True), 8))
    assert [number for _, number in sent] == [0, 0, 0, 1, 1, 1, 2, 2]
    assert [image.name for image, _ in sent[3:6]] == names(dataset(3))


def test_a_limit_counts_over_all_rounds() -> None:
    assert len(names(dataset(3), loop=True, limit=7)) == 7


def test_each_round_of_a_shuffled_loop_has_an_order_of_its_own() -> None:
    sent = names(dataset(50), loop=True, shuffle=True, limit=100)
    assert sent[:50] != sent[50:]
    assert sorted(sent[:50]) == sorted(sent[50:])


# --- the files ---------------------------------------------------------------------------------------------------


def test_the_bytes_are_unchanged(tmp_path: Path) -> None:
    images = dataset(20)
    assert replay_to_directory(sequence(images), tmp_path) == 20
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert written == {Path(image.name).name: image.read() for image in images}


def test_nobody_ever_sees_a_part_of_a_file(tmp_path: Path) -> None:
    images = dataset(60, size=1 << 20)
    expected = {Path(image.name).name: image.read() for image in images}
    target = tmp_path / "target"
    target.mkdir()
    done, looks, wrong = threading.Event(), [0], []

    def watch() -> None:
        seen: set[str] = set()
        while not done.is_set():
            looks[0] += 1
            for path in target.iterdir():
                if not path.name.startswith(".") and path.name not in seen:
                    seen.add(path.name)
                    if path.read_bytes() != expected.get(path.name):
                        wrong.append(path.name)

    watcher = threading.Thread(target=watch)
    watcher.start()
    replay_to_directory(sequence(images), target)
    done.set()
    watcher.join()
    assert looks[0] > 1
    assert wrong == []
    assert {path.name for path in target.iterdir()} == set(expected)


def test_no_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "0000.png").write_bytes(b"mine")
    (tmp_path / "0000~1.png").write_bytes(b"mine too")
    replay_to_directory(sequence(dataset(1)), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "0000.png": b"mine",
        "0000~1.png": b"mine too",
        "0000~2.png": bytes(8),
    }


def test_images_of_one_name_from_different_folders_are_all_sent(tmp_path: Path) -> None:
    images = Dataset("", tuple(LabelledImage(f"{n}/same.png", str(n), payload=bytes([n])) for n in range(3)))
    replay_to_directory(sequence(images), tmp_path)
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"\0", b"\1", b"\2"}


def test_a_loop_sends_each_round_under_names_of_its_own(tmp_path: Path) -> None:
    assert replay_to_directory(sequence(dataset(2), loop=True, limit=5), tmp_path) == 5
    assert {path.name for path in tmp_path.iterdir()} == {
        "0000.png",
        "0001.png",
        "0000~1.png",
        "0001~1.png",
        "0000~2.png",
    }


def test_a_name_as_long_as_the_file_system_takes_is_sent(tmp_path: Path) -> None:
    name = "n" * 251 + ".png"
    replay_to_directory(iter([(LabelledImage(name, "0", payload=b"x"), 0)]), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_label_folders_hold_the_images_of_their_label(tmp_path: Path) -> None:
    replay_to_directory(sequence(dataset(10)), tmp_path, label_folders=True)
    assert Counter(path.parent.name for path in tmp_path.rglob("*.png")) == {"0": 5, "1": 5}


def test_the_target_is_made_with_its_parents(tmp_path: Path) -> None:
    replay_to_directory(sequence(dataset(1)), tmp_path / "not" / "yet")
    assert (tmp_path / "not" / "yet" / "0000.png").is_file()


def test_each_image_is_told_of_as_it_is_sent(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    replay_to_directory(
        sequence(dataset(3)), tmp_path, on_sent=lambda n: told.append((n, len(list(tmp_path.iterdir()))))
    )
    assert told == [(1, 1), (2, 2), (3, 3)]


# --- the rate ----------------------------------------------------------------------------------------------------


def test_images_do_not_come_faster_than_the_rate(tmp_path: Path) -> None:
    started = time.monotonic()
    replay_to_directory(sequence(dataset(11)), tmp_path, rate=50)
    assert time.monotonic() - started >= 10 / 50


@pytest.mark.parametrize("rate", [0, -1])
def test_a_rate_that_is_not_positive_is_refused(tmp_path: Path, rate: float) -> None:
    with pytest.raises(RequestError, match=f"expected a rate above 0 images a second, received {rate}"):
        replay_to_directory(sequence(dataset(1)), tmp_path, rate=rate)


# --- what goes wrong ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["file", "file/below"])
def test_a_target_that_cannot_be_a_directory_is_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match=f"{target} cannot be created: "):
        replay_to_directory(sequence(dataset(1)), tmp_path / target)


def test_an_image_that_cannot_be_read_is_named_and_those_before_it_are_counted(tmp_path: Path) -> None:
    images = (*dataset(2), LabelledImage("0/gone.png", "0", tmp_path / "gone.png"))
    with pytest.raises(SparkdlError, match=r"0/gone\.png cannot be sent .*; 2 images were sent before it"):
        replay_to_directory(sequence(Dataset("", images)), tmp_path / "target")
    assert {path.name for path in (tmp_path / "target").iterdir()} == {"0000.png", "0001.png"}


def test_a_target_that_stops_taking_files_is_told_with_the_image(tmp_path: Path) -> None:
    (tmp_path / "1").write_text("where a folder for label 1 is to be")
    with pytest.raises(SparkdlError, match=r"1/0001\.png cannot be sent .*; 1 images were sent before it"):
        replay_to_directory(sequence(dataset(4)), tmp_path, label_folders=True)


@pytest.mark.parametrize("label", ["../out", "/tmp/out", "a/b", "..", ".hidden", "a\0b", "a\\b"])
def test_a_label_never_becomes_a_path(tmp_path: Path, label: str) -> None:
    images = (*dataset(1), LabelledImage("x.png", label, payload=b"x"))
    with pytest.raises(SparkdlError, match=r"x\.png cannot be sent .its label .* is not a folder name.; 1 images"):
        replay_to_directory(sequence(Dataset("", images)), tmp_path / "target", label_folders=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["target", "0", "0000.png"]


@pytest.mark.parametrize("name", ["../../out.png", "/tmp/out.png", "a/../../out.png"])
def test_a_name_never_becomes_a_path(tmp_path: Path, name: str) -> None:
    replay_to_directory(sequence(Dataset("", (LabelledImage(name, "0", payload=b"x"),))), tmp_path / "target")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png")] == ["target/out.png"]


def test_nothing_half_written_is_left_behind(tmp_path: Path) -> None:
    name = "n" * 300 + ".png"  # longer than a file system takes
    with pytest.raises(SparkdlError, match="cannot be sent"):
        replay_to_directory(iter([(LabelledImage(name, "0", payload=b"x"), 0)]), tmp_path)
    assert list(tmp_path.iterdir()) == []
