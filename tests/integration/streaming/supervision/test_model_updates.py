"""Promises of `streaming.supervision.model_updates`: a stream follows what is promoted, and takes nothing that is
broken.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from streams import Place, digits, drop, id_of, rows_of, wait_until

from sparkdl.errors import SparkdlError
from sparkdl.inference.classifier import Classifier
from sparkdl.models.registry import CURRENT, MODEL_JSON, ModelVersion, Registry
from streaming.supervision.model_updates import try_classifier
from training.data.loading import Dataset

SECOND = "20990101T000000-second"
IMAGES = 400


@pytest.fixture
def place(tmp_path: Path, model: ModelVersion) -> Place:
    """A place with a separate registry, which holds a copy of the shared model, promoted."""
    (tmp_path / "watched").mkdir()
    registry = Registry(tmp_path / "models")
    shutil.copytree(model.path, registry.path / model.name)
    registry.promote(model.name)
    return Place(tmp_path, registry)


def copy_model(place: Place, model: ModelVersion, name: str) -> Path:
    return Path(shutil.copytree(model.path, place.registry.path / name))


def point_to(place: Place, name: str) -> None:
    """Promotes without looking, as a careless hand would."""
    partial = place.registry.path / ".pointer"
    partial.write_text(f"{name}\n")
    partial.replace(place.registry.path / CURRENT)


def test_a_promoted_version_takes_over_between_batches_and_back(
    spark: SparkSession, place: Place, model: ModelVersion, drawn: Dataset
) -> None:
    copy_model(place, model, SECOND)
    images = digits(drawn, IMAGES)
    producer = threading.Thread(target=drop, args=(images, place.watched, 60.0))
    job = place.job(spark, max_images_per_trigger=30)
    producer.start()
    wait_until(lambda: place.images > 0 or not job.is_active)
    place.registry.promote(SECOND)
    wait_until(lambda: len(place.models) == 2 or not job.is_active)
    images_then = place.images
    wait_until(lambda: place.images > images_then or not job.is_active)
    place.registry.promote(model.name)  # roll back is promote
    wait_until(lambda: (place.images >= IMAGES and len(place.models) == 3) or not job.is_active)
    job.stop()
    job.wait()
    producer.join()
    assert place.models == [model.name, SECOND, model.name]
    rows = rows_of(place.sink)
    assert sorted(row["id"] for row in rows) == sorted(map(id_of, images))
    assert {row["model"] for row in rows} == {model.name, SECOND}
    of_batch: dict[int, set[str]] = {}
    for row in rows:
        of_batch.setdefault(row["batch_id"], set()).add(row["model"])
    assert all(len(models) == 1 for models in of_batch.values())


def damage(path: Path) -> None:
    network = next(path.rglob("network.onnx"))
    network.write_bytes(network.read_bytes()[:-1])


def rename_a_class(path: Path) -> None:
    description = json.loads((path / MODEL_JSON).read_text())
    description["classes"][0] = "another"
    (path / MODEL_JSON).write_text(json.dumps(description))


def empty_description(path: Path) -> None:
    (path / MODEL_JSON).write_text("{")


@pytest.mark.parametrize(
    ("breaks", "words"),
    [
        (damage, "network.onnx differs from what was saved"),
        (rename_a_class, "its classes are 1, 2, 3, 4, 5, 6, 7, 8, 9, another, the running model's 0, 1"),
        (empty_description, "model.json cannot be read"),
        (shutil.rmtree, f"unknown version {SECOND!r}"),
    ],
)
def test_a_broken_version_is_refused_and_the_old_one_goes_on(
    spark: SparkSession,
    place: Place,
    model: ModelVersion,
    drawn: Dataset,
    breaks: Callable[[Path], None],
    words: str,
) -> None:
    job = place.job(spark)
    breaks(copy_model(place, model, SECOND))
    point_to(place, SECOND)
    wait_until(lambda: len(place.refusals) > 0 or not job.is_active)
    drop(digits(drawn, 5), place.watched)
    wait_until(lambda: place.images == 5 or not job.is_active)
    job.stop()
    job.wait()
    assert len(place.refusals) == 1
    assert words in place.refusals[0][1]
    assert {row["model"] for row in rows_of(place.sink)} == {model.name}
    assert place.models == [model.name]


def test_a_stream_on_one_version_stays_on_it(spark: SparkSession, place: Place, model: ModelVersion) -> None:
    second = copy_model(place, model, SECOND)
    job = place.job(spark, model=str(place.registry.path / model.name))
    third = place.job(spark, checkpoint=place.root / "other", sink=str(place.root / "others"))  # follows
    place.registry.promote(second.name)
    wait_until(lambda: third.model.name == SECOND or not third.is_active)
    assert job.model.name == model.name
    for each in (job, third):
        each.stop()
        each.wait()


def test_a_model_whose_probabilities_are_not_its_classes_is_found_by_trying(
    spark: SparkSession, model: ModelVersion
) -> None:
    good = model.load()
    try_classifier(spark, good)
    with pytest.raises(SparkdlError, match="it fails on an image"):
        try_classifier(spark, Classifier.of(good.pipeline, good.classes[:-1]))
