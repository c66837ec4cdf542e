"""A training run: its description, report and promotion."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from refusals import refused

from sparkdl.models.registry import ModelVersion, Registry
from training.data.loading import Dataset, open_dataset
from training.data.synthetic.digits import draw_png
from training.fitting.recipes import Recipe, recipe
from training.train import Trained, train


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Two classes of 8 synthetic digits as files, and two empty files in the first class."""
    root = tmp_path_factory.mktemp("folder")
    for label, digit in (("four", 4), ("seven", 7)):
        (root / label).mkdir()
        for i in range(8):
            (root / label / f"{i}.png").write_bytes(draw_png(digit, i))
    for name in ("x.png", "y.png"):
        (root / "four" / name).touch()
    return open_dataset(str(root))


@pytest.fixture(scope="module")
def quick() -> Recipe:
    return recipe("digits", ["input_size=48", "tap_layers=block5", "pooling=average", "max_iter=5", "augmentations=0"])


@pytest.fixture(scope="module")
def reports() -> list[tuple[str, int, int]]:
    """The progress that `trained` reports."""
    return []


@pytest.fixture(scope="module")
def trained(
    spark: SparkSession,
    folder: Dataset,
    quick: Recipe,
    tmp_path_factory: pytest.TempPathFactory,
    reports: list[tuple[str, int, int]],
) -> Trained:
    models = Registry(tmp_path_factory.mktemp("models"))

    def note(step: str, done: int, total: int) -> None:
        reports.append((step, done, total))

    return train(spark, folder, quick, models, seed=1, test_fraction=0.5, promote=False, progress=note)


def test_progress_counts_the_images_whose_features_are_computed(
    trained: Trained, folder: Dataset, reports: list[tuple[str, int, int]]
) -> None:
    part, _ = folder.split(0.5, seed=1)
    counts = [(done, total) for step, done, total in reports if step == "computing features"]
    assert counts[0] == (0, len(part))
    assert counts == sorted(counts)
    steps = list(dict.fromkeys(step for step, _, _ in reports))
    assert steps == ["computing features", "computing the last features", "fitting the classifier", "testing"]


def test_a_run_promotes_what_it_made(registry: Registry, model: ModelVersion) -> None:
    assert [version.name for version in registry.versions()] == [model.name]
    assert model.name.endswith("-digits")


def test_a_run_may_leave_the_promotion_to_others(trained: Trained) -> None:
    models = Registry(trained.version.path.parent)
    assert models.current() is None
    assert models.versions() == [trained.version]


def test_the_description_says_how_the_model_was_made(trained: Trained, quick: Recipe) -> None:
    description = trained.version.description
    assert Recipe.model_validate(description["recipe"]) == quick
    assert description["input"] == {"size": 48, "normalize_ink": True}
    assert description["classes"] == ["four", "seven"]
    assert description["metrics"] == json.loads(json.dumps(trained.evaluation.metrics))
    assert description["fit_seconds"] == round(trained.fit_seconds, 1)
    assert {"python", "pyspark", "onnxruntime", "numpy"} <= set(description["versions"])
    assert abs((datetime.now(UTC) - datetime.fromisoformat(description["created_at"])).total_seconds()) < 3600


def test_the_description_states_the_training_data(trained: Trained, folder: Dataset) -> None:
    part, test = folder.split(0.5, seed=1)
    assert trained.version.description["data"] == {
        "address": folder.address,
        "digest": part.digest(),
        "images": trained.images,
        "test_images": len(test),
        "test_digest": test.digest(),
        "duplicates": 0,
        "test_fraction": 0.5,
        "seed": 1,
    }


def test_every_image_is_trained_on_or_tested_on_or_named(trained: Trained, folder: Dataset) -> None:
    bad = (*trained.unreadable, *trained.evaluation.unreadable)
    assert {image.name for image in bad} == {"four/x.png", "four/y.png"}
    assert trained.images + trained.evaluation.metrics["n"] + len(bad) == len(folder)


def test_the_report_is_of_the_same_evaluation(trained: Trained) -> None:
    report = trained.version.path / "report"
    assert json.loads((report / "metrics.json").read_text()) == trained.version.description["metrics"]
    page = (report / "report.md").read_text()
    assert f"| training images | {trained.images} |" in page
    assert "The model distinguishes 2 classes: four, seven." in page
    assert "set aside before training with seed 1" in page


def test_a_run_measures_how_long_it_took(trained: Trained) -> None:
    assert trained.fit_seconds > 0
    assert trained.test_seconds > 0


def test_what_cannot_be_split_leaves_no_registry(
    spark: SparkSession, folder: Dataset, quick: Recipe, tmp_path: Path
) -> None:
    with refused("between 0 and 1"):
        train(spark, folder, quick, Registry(tmp_path / "models"), test_fraction=1.0)
    assert not (tmp_path / "models").exists()


def test_a_dataset_that_comes_with_its_split_is_trained_and_tested_on_as_it_says(
    spark: SparkSession, quick: Recipe, tmp_path: Path
) -> None:
    for part, seeds in (("train", range(6)), ("val", range(6, 8)), ("test", range(8, 11))):
        for label, digit in (("four", 4), ("seven", 7)):
            (tmp_path / "data" / part / label).mkdir(parents=True)
            for seed in seeds:
                (tmp_path / "data" / part / label / f"{seed}.png").write_bytes(draw_png(digit, seed))
    dataset = open_dataset(str(tmp_path / "data"))
    trained = train(spark, dataset, quick, Registry(tmp_path / "models"))
    assert (trained.images, trained.version.description["classes"]) == (12, ["four", "seven"])
    assert {name.partition("/")[0] for name in trained.evaluation.names} == {"test"}
    data = trained.version.description["data"]
    assert (data["test_subset"], data["test_images"], data.get("test_fraction")) == ("test", 6, None)
    card = (trained.version.path / "report" / "report.md").read_text()
    assert "6 of the 22 images of" in card
    assert "the subset test that it comes with; no picture is in both sets" in card
