"""Tracking servers of MLflow for tests: a database and a directory, both in a temporary directory."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from once import make_once, run_directory

from sparkdl.models.mlflow.address import EXPERIMENT
from sparkdl.models.mlflow.tracking import TrackingServer


def tracking_server(factory: pytest.TempPathFactory) -> TrackingServer:
    """A separate database, with its artifacts next to it."""

    def make(path: Path) -> None:
        TrackingServer(f"sqlite:///{path}", creates=True).check_reachable()  # MLflow takes seconds for its tables

    directory = factory.mktemp("mlflow")
    database = shutil.copy(make_once(run_directory(factory) / "mlflow.db", make), directory)
    server = TrackingServer(f"sqlite:///{database}")
    server.client.create_experiment(EXPERIMENT, artifact_location=(directory / "artifacts").as_uri())
    return server


def artifacts_of(server: TrackingServer) -> Path:
    """The directory of the artifacts of `tracking_server`."""
    return Path(server.uri.removeprefix("sqlite:///")).parent / "artifacts"
