"""A version in MLflow: what a run and a registered model hold, and that only our own files are read of it."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from paths import ROOT
from pyspark.sql import SparkSession
from refusals import refused
from streams import BROKEN, digits, encoded_rows
from tracking import artifacts_of, tracking_server

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.models.addresses import find_model
from sparkdl.models.mlflow.exporting import DATA, DIGEST_TAG, Registered, check_export, digest_of, log_run, register
from sparkdl.models.mlflow.fetching import CACHE
from sparkdl.models.mlflow.pyfunc import output_fields
from sparkdl.models.mlflow.tracking import TrackingServer
from sparkdl.models.registry import MODEL_JSON, ModelVersion, resolve_model
from sparkdl.system.hashing import sha256
from training.data.loading import Dataset

NAME = "Bengali digits"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> TrackingServer:
    return tracking_server(tmp_path_factory)


@pytest.fixture(scope="module")
def run_id(server: TrackingServer, model: ModelVersion) -> str:
    return log_run(server, model).run_id


@pytest.fixture(scope="module")
def registered(server: TrackingServer, run_id: str, model: ModelVersion) -> Registered:
    """The shared model, logged and then registered."""
    return register(server, model, NAME, alias="champion")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("SPARKDL_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / CACHE


def model_directory(server: TrackingServer, model_id: str) -> Path:
    """Where the files of a logged model are."""
    (directory,) = artifacts_of(server).glob(f"**/{model_id}/artifacts")
    return directory


# What is logged


def test_a_run_holds_the_settings_the_metrics_the_report_and_the_model(
    server: TrackingServer, run_id: str, model: ModelVersion
) -> None:
    run = server.client.get_run(run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", model.name)
    assert run.data.params["name"] == "digits"
    assert run.data.params["max_iter"] == "20"
    assert run.data.params["data.digest"] == model.description["data"]["digest"]
    metrics = model.description["metrics"]
    assert run.data.metrics["accuracy"] == metrics["accuracy"]
    assert run.data.metrics["accuracy_interval_low"] == metrics["accuracy_interval"][0]
    logged = {Path(each.path).name for each in server.client.list_artifacts(run_id, "report")}
    assert logged == {path.name for path in (model.path / "report").iterdir() if not path.name.startswith(".")}
    assert {"report.md", "confusion_matrix.png", "metrics.json"} <= logged
    (output,) = run.outputs.model_outputs
    assert server.client.get_logged_model(output.model_id).tags[DIGEST_TAG] == digest_of(model)


def test_a_version_that_was_logged_is_registered_without_a_second_upload(
    server: TrackingServer, run_id: str, registered: Registered, model: ModelVersion
) -> None:
    (output,) = server.client.get_run(run_id).outputs.model_outputs
    again = register(server, model, "another")
    assert registered.model_id == again.model_id == output.model_id
    entity = server.client.get_model_version_by_alias(NAME, "champion")
    assert (str(entity.version), entity.run_id) == (registered.number, run_id)
    assert entity.tags[DIGEST_TAG] == digest_of(model)


def test_the_model_states_its_columns_and_what_it_needs(server: TrackingServer, registered: Registered) -> None:
    from mlflow.models import Model

    directory = model_directory(server, registered.model_id)
    signature = Model.load(str(directory)).signature
    assert signature.inputs.to_dict() == [{"type": "binary", "name": "content", "required": True}]
    assert {"prediction", "confidence", "probabilities", "reason", "detail"} <= set(signature.outputs.input_names())
    needed = (directory / "requirements.txt").read_text().split()
    assert any(line.startswith("sparkdl-streaming==") for line in needed)
    assert not any(line.startswith("cloudpickle") for line in needed)
    assert not list(directory.rglob("*.pkl"))


# The pyfunc


@pytest.fixture(scope="module")
def images(drawn: Dataset) -> dict[str, bytes]:
    """Drawn digits, and images that cannot be decoded."""
    good = {image.name: image.read() for image in digits(drawn, 20)}
    return good | {name: broken.payload for name, broken in BROKEN.items() if not name.startswith("long")}


@pytest.fixture(scope="module")
def expected(spark: SparkSession, model: ModelVersion, images: dict[str, bytes]) -> dict[str, Any]:
    """What a stream gives for them."""
    rows = encoded_rows(spark, [(name, payload, None) for name, payload in images.items()])
    columns = [field.name for field in output_fields()]
    found = {row["id"]: {name: row[name] for name in columns} for row in model.load().classify(rows).collect()}
    assert sum(row["reason"] is None for row in found.values()) == 20
    return found


def test_the_pyfunc_gives_what_a_stream_gives(
    server: TrackingServer, registered: Registered, images: dict[str, bytes], expected: dict[str, Any]
) -> None:
    import mlflow
    import pandas as pd

    model = mlflow.pyfunc.load_model(str(model_directory(server, registered.model_id)))
    rows = model.predict(pd.DataFrame({"content": list(images.values())}))
    assert dict(zip(images, rows.to_dict("records"), strict=True)) == expected


PROGRAM = """
import json, sys
import mlflow, pandas
from pathlib import Path
from pyspark import SparkContext

images = {path.name: path.read_bytes() for path in sorted(Path("images").iterdir())}
model = mlflow.pyfunc.load_model(sys.argv[1])
rows = model.predict(pandas.DataFrame({"content": list(images.values())}))
assert SparkContext._gateway is None and SparkContext._active_spark_context is None
Path("rows.json").write_text(json.dumps(dict(zip(images, rows.to_dict("records"), strict=True))))
"""


@pytest.mark.slow  # starts a Python that loads MLflow
def test_the_pyfunc_is_found_by_its_alias_and_starts_no_spark(
    server: TrackingServer,
    registered: Registered,
    images: dict[str, bytes],
    expected: dict[str, Any],
    tmp_path: Path,
) -> None:
    (tmp_path / "images").mkdir()
    for name, payload in images.items():
        (tmp_path / "images" / name).write_bytes(payload)
    own = {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": server.uri, "JAVA_HOME": "/nonexistent"}
    command = [sys.executable, "-c", PROGRAM, f"models:/{NAME}@champion"]
    subprocess.run(command, cwd=tmp_path, env={**os.environ, **own}, check=True, capture_output=True)
    assert json.loads((tmp_path / "rows.json").read_text()) == expected


# What is fetched


def test_a_fetched_version_is_the_exported_one_by_its_name_in_mlflow(
    server: TrackingServer, registered: Registered, model: ModelVersion, cache: Path
) -> None:
    found = find_model(f"mlflow:{NAME}@champion", server.uri)
    assert found.name == f"mlflow:{NAME}/{registered.number}"
    assert found.path == cache / digest_of(model)
    assert found.description == model.description
    assert found.load_without_spark() is not None
    assert find_model(f"mlflow:{NAME}/{registered.number}", server.uri).path == found.path
    assert [path.name for path in cache.iterdir()] == [digest_of(model)]


def test_the_cache_spares_the_download_and_mends_what_was_changed_in_it(
    server: TrackingServer, registered: Registered, cache: Path
) -> None:
    address = f"mlflow:{NAME}@champion"
    directory = model_directory(server, registered.model_id)
    network = next(find_model(address, server.uri).path.rglob("network.onnx"))
    aside = directory.with_name("aside")
    directory.rename(aside)
    try:
        find_model(address, server.uri)
    finally:
        aside.rename(directory)
    content = network.read_bytes()
    network.write_bytes(content[:-1])
    find_model(address, server.uri)
    assert network.read_bytes() == content


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("mlflow:nobody@champion", "no such model: mlflow:nobody@champion"),
        (f"mlflow:{NAME}@nobody", f"no such model: mlflow:{NAME}@nobody"),
        (f"mlflow:{NAME}/99", f"no such model: mlflow:{NAME}/99"),
    ],
)
def test_what_is_not_registered_is_a_wrong_request(
    address: str, words: str, server: TrackingServer, registered: Registered, cache: Path
) -> None:
    with refused(words):
        find_model(address, server.uri)
    assert not cache.exists()


def change_network(data: Path) -> None:
    network = next(data.rglob("network.onnx"))
    network.write_bytes(network.read_bytes()[:-1])


def restate_classes(data: Path) -> None:
    description = json.loads((data / MODEL_JSON).read_text())
    description["classes"].reverse()
    (data / MODEL_JSON).write_text(json.dumps(description))


def add_module(data: Path) -> None:
    (data / "sitecustomize.py").write_text("raise SystemExit(1)\n")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (change_network, r"network\.onnx differs from what was saved"),
        (restate_classes, r"model\.json differs from what was exported"),
        (add_module, r"data/sparkdl/sitecustomize\.py is not part of a version"),
        (shutil.rmtree, "was not exported by sparkdl"),
    ],
)
def test_an_artifact_that_was_changed_in_the_store_is_refused_by_name(
    harm: Callable[[Path], None],
    words: str,
    server: TrackingServer,
    model: ModelVersion,
    cache: Path,
    tmp_path: Path,
) -> None:
    from mlflow.pyfunc import save_model

    directory = tmp_path / "changed"
    data = Path(shutil.copytree(model.path, tmp_path / "sparkdl"))
    save_model(str(directory), loader_module="x", data_path=str(data), pip_requirements=[])
    harm(directory / DATA)
    number = register_by_hand(server, f"changed-{harm.__name__}", directory, {DIGEST_TAG: digest_of(model)})
    with pytest.raises(SparkdlError, match=words):
        find_model(f"mlflow:changed-{harm.__name__}/{number}", server.uri)
    assert not cache.exists() or list(cache.iterdir()) == []


def register_by_hand(server: TrackingServer, name: str, directory: Path, tags: dict[str, str]) -> str:
    """Register the MLflow model in a directory, as another program would."""
    server.client.create_registered_model(name)
    return str(server.client.create_model_version(name, directory.as_uri(), tags=tags).version)


class Planted:
    """Makes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


def test_a_foreign_model_is_refused_and_nothing_of_it_is_run(
    server: TrackingServer, cache: Path, tmp_path: Path
) -> None:
    directory, planted = tmp_path / "foreign", tmp_path / "planted"
    (directory / "code").mkdir(parents=True)
    (directory / "python_model.pkl").write_bytes(pickle.dumps(Planted(str(planted))))
    (directory / "code" / "loader.py").write_text(f"open({str(planted)!r}, 'w')\n")
    flavor = {"loader_module": "loader", "code": "code", "python_model": "python_model.pkl"}
    (directory / "MLmodel").write_text(json.dumps({"flavors": {"python_function": flavor}}))
    number = register_by_hand(server, "foreign", directory, {})
    with pytest.raises(SparkdlError, match=f"model mlflow:foreign/{number} was not exported by sparkdl"):
        find_model(f"mlflow:foreign/{number}", server.uri)
    assert not planted.exists()
    pickle.loads(pickle.dumps(Planted(str(planted)))).close()
    assert planted.exists()  # it would have been


# What is exported


def test_a_bare_pipeline_is_not_exported(model: ModelVersion) -> None:
    with pytest.raises(RequestError, match="is a bare PipelineModel"):
        check_export(resolve_model(str(model.pipeline)))


def test_a_model_that_needs_spark_is_not_exported_and_its_run_has_no_model(
    server: TrackingServer, model: ModelVersion, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(model.path, tmp_path / model.name))
    (file,) = path.glob("pipeline/stages/*_LogisticRegression*/metadata/part-*")
    metadata = json.loads(file.read_text())
    metadata["paramMap"]["threshold"] = 0.4  # which only Spark applies
    file.write_text(json.dumps(metadata))
    description = json.loads((path / MODEL_JSON).read_text())
    description["files"][file.relative_to(path).as_posix()] = sha256(file)
    (path / MODEL_JSON).write_text(json.dumps(description))
    version = resolve_model(str(path))
    with pytest.raises(RequestError, match="has stages that need Spark"):
        check_export(version)
    logged = log_run(server, version)
    assert logged.model_id is None
    assert server.client.get_run(logged.run_id).info.status == "FINISHED"
