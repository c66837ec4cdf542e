"""What a report says of the images that a saved model is measured on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sparkdl.models.registry import ModelVersion
from training.data.loading import Dataset, open_dataset
from training.data.synthetic.digits import draw_png
from training.reporting.provenance import about_evaluation, has_learnt_from


@pytest.fixture
def folders(tmp_path: Path) -> Dataset:
    for digit in (1, 2):
        (tmp_path / "digits" / str(digit)).mkdir(parents=True)
        (tmp_path / "digits" / str(digit) / "x.png").write_bytes(draw_png(digit, 0))
    return open_dataset(str(tmp_path / "digits"))


def trained_on(**data: Any) -> ModelVersion:
    return ModelVersion(Path("20260101T000000-x"), {"data": data})


def test_a_model_may_have_learnt_from_the_directory_it_was_trained_on(folders: Dataset) -> None:
    version = trained_on(address=f"{folders.address}/../digits", seed=0)
    assert has_learnt_from(version, folders, seed=1)
    said = about_evaluation(version, folders, 1)
    assert said.images.endswith("from which it was trained as well: the figures are too good")
    assert said.model == "20260101T000000-x"


def test_a_model_has_not_learnt_from_another_directory(folders: Dataset) -> None:
    version = trained_on(address="elsewhere", seed=0)
    assert not has_learnt_from(version, folders, seed=0)
    assert about_evaluation(version, folders, 0).images.endswith("; the model was trained on images of elsewhere")


@pytest.mark.parametrize(
    ("address", "seed", "learnt"), [("samples", 0, True), ("samples:7", 0, True), ("samples", 1, False)]
)
def test_drawn_images_are_the_same_if_their_seed_is(address: str, seed: int, learnt: bool) -> None:
    version = trained_on(address=address, seed=0)
    assert has_learnt_from(version, open_dataset("samples:2", seed), seed) == learnt


@pytest.mark.parametrize("description", [{}, {"data": {}}, {"data": "x"}])
def test_of_a_model_without_a_description_it_is_not_known(folders: Dataset, description: dict[str, Any]) -> None:
    version = ModelVersion(Path("pipeline"), description)
    assert not has_learnt_from(version, folders, seed=0)
    assert about_evaluation(version, folders, 0).images.endswith("is not known")
