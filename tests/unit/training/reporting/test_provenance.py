"""The provenance of an evaluation: whether the model was trained on the same images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sparkdl.models.registry import ModelVersion
from training.data.loading import Dataset, open_dataset
from training.data.synthetic.digits import draw_png
from training.reporting.provenance import evaluation_provenance, was_trained_on


@pytest.fixture
def folders(tmp_path: Path) -> Dataset:
    for digit in (1, 2):
        (tmp_path / "digits" / str(digit)).mkdir(parents=True)
        (tmp_path / "digits" / str(digit) / "x.png").write_bytes(draw_png(digit, 0))
    return open_dataset(str(tmp_path / "digits"))


def trained_on(**data: Any) -> ModelVersion:
    return ModelVersion(Path("20260101T000000-x"), {"data": data})


def test_a_directory_that_the_model_was_trained_on_is_recognised(folders: Dataset) -> None:
    version = trained_on(address=f"{folders.address}/../digits", seed=0)
    assert was_trained_on(version, folders, seed=1)
    found = evaluation_provenance(version, folders, 1)
    assert found.images.endswith("which the model was trained on too, so the metrics are too optimistic")
    assert found.model == "20260101T000000-x"


def test_another_directory_is_not_one_that_the_model_was_trained_on(folders: Dataset) -> None:
    version = trained_on(address="elsewhere", seed=0)
    assert not was_trained_on(version, folders, seed=0)
    assert evaluation_provenance(version, folders, 0).images.endswith("; the model was trained on images of elsewhere")


@pytest.mark.parametrize(
    ("address", "seed", "trained"), [("samples", 0, True), ("samples:7", 0, True), ("samples", 1, False)]
)
def test_synthetic_images_are_the_same_if_their_seed_is(address: str, seed: int, trained: bool) -> None:
    version = trained_on(address=address, seed=0)
    assert was_trained_on(version, open_dataset("samples:2", seed), seed) == trained


@pytest.mark.parametrize("description", [{}, {"data": {}}, {"data": "x"}])
def test_of_a_model_without_a_description_it_is_not_known(folders: Dataset, description: dict[str, Any]) -> None:
    version = ModelVersion(Path("pipeline"), description)
    assert not was_trained_on(version, folders, seed=0)
    assert evaluation_provenance(version, folders, 0).images.endswith("is not known")


def split_folders(root: Path) -> Path:
    for part in ("train", "test"):
        for digit in (1, 2):
            (root / part / str(digit)).mkdir(parents=True)
            (root / part / str(digit) / "x.png").write_bytes(draw_png(digit, len(part)))
    return root


def test_the_test_set_that_a_dataset_comes_with_was_not_trained_on(tmp_path: Path) -> None:
    root = split_folders(tmp_path)
    version = trained_on(address=str(root), seed=0, test_subset="test")
    whole = open_dataset(str(root))
    assert not was_trained_on(version, whole.to_evaluate(), seed=0)
    assert was_trained_on(version, whole, seed=0)
    assert was_trained_on(version, open_dataset(str(root / "train")), seed=0)
    assert not was_trained_on(version, open_dataset(str(root / "test")), seed=0)
    assert f"all images of {root} in the subset test" in evaluation_provenance(version, whole.to_evaluate(), 0).images


def test_a_wrapped_split_is_recognised_from_inside(tmp_path: Path) -> None:
    root = split_folders(tmp_path / "wrap")
    version = trained_on(address=str(tmp_path), seed=0, test_subset="test")
    assert was_trained_on(version, open_dataset(str(root / "train")), seed=0)
    assert not was_trained_on(version, open_dataset(str(root / "test")), seed=0)


def test_a_table_and_its_directory_are_the_same_images(folders: Dataset) -> None:
    version = trained_on(address=f"{folders.address}/labels.csv", seed=0)
    assert was_trained_on(version, folders, seed=0)
