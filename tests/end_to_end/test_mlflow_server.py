"""A stream on a real MLflow server, which is away for a while."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from command import run_command
from pyspark.sql import SparkSession
from streams import Place, digits, drop, id_of, rows_of, wait_until

from sparkdl.models.mlflow.exporting import register
from sparkdl.models.mlflow.tracking import TrackingServer
from sparkdl.models.registry import MODEL_JSON, ModelVersion, Registry, resolve_model
from training.data.loading import Dataset

pytestmark = pytest.mark.slow  # a server takes about ten seconds to start


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def answers(uri: str) -> bool:
    try:
        with urlopen(f"{uri}/health", timeout=1) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


@contextmanager
def mlflow_server(directory: Path, port: int) -> Iterator[str]:
    """A server that keeps what it is given in `directory`, and hands artifacts out itself."""
    uri = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{directory}/mlflow.db", "--artifacts-destination", str(directory)]
    own = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (directory / "log").open("ab") as log:
        process = subprocess.Popen(command, env={**os.environ, **own}, stdout=log, stderr=log, cwd=directory)
        try:
            wait_until(lambda: answers(uri) or process.poll() is not None, 90)
            assert process.poll() is None, (directory / "log").read_text()
            yield uri
        finally:
            process.terminate()
            process.wait(30)
    wait_until(lambda: not answers(uri), 30)


class Told(Place):
    """A place that notes what is told of the server."""

    def model_unreachable(self, model: str, reason: str) -> None:
        self.refusals.append((model, reason))


def test_a_stream_follows_an_alias_on_a_server_that_is_away_for_a_while(
    spark: SparkSession,
    model: ModelVersion,
    drawn: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SPARKDL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    for name in ("server", "watched"):
        (tmp_path / name).mkdir()
    second = Path(shutil.copytree(model.path, tmp_path / "second" / model.name))
    (second / MODEL_JSON).write_text((model.path / MODEL_JSON).read_text() + "\n")
    place, port = Told(tmp_path, Registry(tmp_path)), free_port()
    images = digits(drawn, 120)
    with mlflow_server(tmp_path / "server", port) as uri:
        arguments = ("--to", "mlflow:digits", "--alias", "champion", "--mlflow", uri)
        exported = run_command("models", "export", model.name, "--models", model.path.parent, *arguments)
        assert exported.code == 0, exported.err
        assert (tmp_path / "server" / "mlflow.db").is_file()
        job = place.job(spark, model="mlflow:digits@champion", mlflow=uri)
        drop(images[:40], place.watched)
        wait_until(lambda: place.images == 40 or not job.is_active)
    wait_until(lambda: len(place.refusals) == 1 or not job.is_active)
    drop(images[40:80], place.watched)  # while the server is away
    wait_until(lambda: place.images == 80 or not job.is_active)
    with mlflow_server(tmp_path / "server", port) as uri:
        register(TrackingServer(uri), resolve_model(str(second)), "digits", alias="champion")
        wait_until(lambda: len(place.models) == 2 or not job.is_active)
        drop(images[80:], place.watched)
        wait_until(lambda: place.images == 120 or not job.is_active)
        job.stop()
        job.wait()
    ((address, reason),) = place.refusals
    assert address == "mlflow:digits@champion"
    assert reason.startswith(f"MLflow at {uri} does not answer: ")
    rows = rows_of(place.sink)
    assert sorted(row["id"] for row in rows) == sorted(map(id_of, images))
    assert [sum(row["model"] == name for row in rows) for name in ("mlflow:digits/1", "mlflow:digits/2")] == [80, 40]
