"""A stream follows an alias in MLflow as it follows a registry, and goes on when the server does not answer."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from streams import Place, digits, drop, id_of, rows_of, wait_until
from tracking import tracking_server

from sparkdl.models.addresses import find_model
from sparkdl.models.mlflow.alias import AliasWatch, Refusal
from sparkdl.models.mlflow.exporting import DIGEST_TAG, register
from sparkdl.models.mlflow.fetching import MlflowVersion
from sparkdl.models.mlflow.tracking import TrackingServer, UnreachableError
from sparkdl.models.registry import MODEL_JSON, ModelVersion, Registry, resolve_model
from streaming.supervision.promotions import AliasPromotions, NoPromotions, Promotions, UnreachableModelError
from training.data.loading import Dataset

ADDRESS = "mlflow:digits@champion"
FIRST, SECOND = "mlflow:digits/1", "mlflow:digits/2"
IMAGES = 240


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, model: ModelVersion) -> TrackingServer:
    """A server with two versions of a model: the shared one, and the same with another description."""
    server = tracking_server(tmp_path_factory)
    second = Path(shutil.copytree(model.path, tmp_path_factory.mktemp("second") / model.name))
    (second / MODEL_JSON).write_text(json.dumps({**model.description, "created_at": "2099-01-01T00:00:00+00:00"}))
    for path in (model.path, second):
        register(server, resolve_model(str(path)), "digits")
    return server


@pytest.fixture
def place(tmp_path: Path, server: TrackingServer, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A place whose alias names the first version."""
    monkeypatch.setenv("SPARKDL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("sparkdl.models.mlflow.alias.POLL_SECONDS", 0.2)
    (tmp_path / "watched").mkdir()
    point_to(server, 1)
    return Place(tmp_path, Registry(tmp_path))


def point_to(server: TrackingServer, number: int) -> None:
    server.client.set_registered_model_alias("digits", "champion", str(number))


def test_a_moved_alias_swaps_the_model_between_micro_batches_and_loses_nothing(
    spark: SparkSession, place: Place, server: TrackingServer, drawn: Dataset
) -> None:
    images = digits(drawn, IMAGES)
    producer = threading.Thread(target=drop, args=(images, place.watched, 60.0))
    job = place.job(spark, model=ADDRESS, mlflow=server.uri, max_images_per_trigger=30)
    producer.start()
    wait_until(lambda: place.images > 0 or not job.is_active)
    point_to(server, 2)
    wait_until(lambda: len(place.models) == 2 or not job.is_active)
    images_then = place.images
    wait_until(lambda: place.images > images_then or not job.is_active)
    point_to(server, 1)  # roll back
    wait_until(lambda: (place.images >= IMAGES and len(place.models) == 3) or not job.is_active)
    job.stop()
    job.wait()
    producer.join()
    assert place.models == [FIRST, SECOND, FIRST]
    assert place.refusals == []
    rows = rows_of(place.sink)
    assert sorted(row["id"] for row in rows) == sorted(map(id_of, images))
    assert {row["model"] for row in rows} == {FIRST, SECOND}
    of_batch: dict[int, set[str]] = {}
    for row in rows:
        of_batch.setdefault(row["batch_id"], set()).add(row["model"])
    assert all(len(models) == 1 for models in of_batch.values())


def test_a_version_that_cannot_be_used_is_refused_and_the_old_one_goes_on(
    spark: SparkSession, place: Place, server: TrackingServer, drawn: Dataset, tmp_path: Path
) -> None:
    job = place.job(spark, model=ADDRESS, mlflow=server.uri)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "MLmodel").write_text("{}")
    made = server.client.create_model_version("digits", (tmp_path / "empty").as_uri())
    point_to(server, made.version)
    wait_until(lambda: len(place.refusals) > 0 or not job.is_active)
    drop(digits(drawn, 5), place.watched)
    wait_until(lambda: place.images == 5 or not job.is_active)
    job.stop()
    job.wait()
    ((name, reason),) = place.refusals
    assert name == f"mlflow:digits/{made.version}"
    assert "was not exported by sparkdl" in reason
    assert {row["model"] for row in rows_of(place.sink)} == {FIRST}


def current(server: TrackingServer) -> MlflowVersion:
    found = find_model(ADDRESS, server.uri)
    assert isinstance(found, MlflowVersion)
    return found


def wait_for(watch: AliasWatch) -> MlflowVersion | Refusal:
    found: list[MlflowVersion | Refusal] = []

    def has_come() -> bool:
        found.extend(each for each in [watch.take()] if each is not None)
        return bool(found)

    wait_until(has_come, 30)
    return found[0]


def test_an_alias_that_is_deleted_is_refused_once_and_is_followed_again(place: Place, server: TrackingServer) -> None:
    watch = AliasWatch(current(server), 0.05)
    assert watch.take() is None
    server.client.delete_registered_model_alias("digits", "champion")
    refusal = wait_for(watch)
    assert isinstance(refusal, Refusal)
    assert refusal.name == ADDRESS
    point_to(server, 2)
    found = wait_for(watch)
    assert isinstance(found, MlflowVersion)
    assert found.name == SECOND
    watch.close()


def test_a_server_that_is_away_is_told_of_once_in_a_while(
    place: Place, server: TrackingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    running = current(server)
    away = MlflowVersion(
        running.path, running.description, running.address, running.number, TrackingServer("http://127.0.0.1:9")
    )
    promotions = AliasPromotions(ADDRESS, AliasWatch(away, 0.05))
    told: list[str] = []

    def is_told() -> bool:
        try:
            assert promotions.take() is None
        except UnreachableModelError as error:
            told.append(str(error))
        return bool(told)

    wait_until(is_told, 30)
    assert told[0].startswith("MLflow at http://127.0.0.1:9 does not answer: ")
    with pytest.raises(UnreachableError):  # it is still away
        promotions._watch.take()
    assert promotions.take() is None  # and is not told of again
    promotions.close()


def test_a_number_is_not_followed(place: Place, server: TrackingServer) -> None:
    fixed = find_model(FIRST, server.uri)
    assert isinstance(Promotions.of(FIRST, fixed), NoPromotions)


def test_the_tag_of_a_version_is_the_digest_of_its_directory(place: Place, server: TrackingServer) -> None:
    entity = server.client.get_model_version("digits", "2")
    assert find_model(SECOND, server.uri).path.name == entity.tags[DIGEST_TAG]
