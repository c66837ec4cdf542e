"""The command with MLflow: a run is logged, the model registered, streamed and evaluated by its alias."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import run_command
from pyspark.sql import SparkSession
from streams import rows_of
from tracking import tracking_server

from sparkdl.models.mlflow.tracking import TRACKING_URI

QUICK = ["max_iter=3", "input_size=48", "tap_layers=block5", "pooling=average", "augmentations=0"]


@pytest.mark.slow  # trains a model and streams it, by the command alone
def test_a_trained_model_is_logged_registered_and_streamed(
    spark: SparkSession,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = tracking_server(tmp_path_factory)
    monkeypatch.setenv("SPARKDL_CACHE_DIR", str(tmp_path / "cache"))
    models, watched = tmp_path / "models", tmp_path / "watched"
    settings = [word for setting in QUICK for word in ("--set", setting)]
    trained = run_command(
        "train", "--data", "samples:8", "--models", models, *settings, "--json", "--mlflow", server.uri
    )
    assert trained.code == 0, trained.err
    (run,) = server.client.search_runs([server.client.get_experiment_by_name("sparkdl").experiment_id])
    assert f"logged as run {run.info.run_id} of experiment sparkdl" in trained.err
    assert run.data.metrics["accuracy"] == json.loads(trained.out)["accuracy"]

    monkeypatch.setenv(TRACKING_URI, server.uri)
    exported = run_command(
        "models", "export", "current", "--models", models, "--to", "mlflow:digits", "--alias", "champion"
    )
    assert exported.code == 0, exported.err
    assert "as mlflow:digits/1, which champion now names" in exported.err

    assert run_command("produce", "--data", "samples:1", "--to", watched).code == 0
    streamed = run_command(
        *("stream", "--source", watched, "--model", "mlflow:digits@champion", "--stable-after", "0s"),
        *("--sink", tmp_path / "sink", "--checkpoint", tmp_path / "checkpoint", "--available-now"),
    )
    assert streamed.code == 0, streamed.err
    assert {row["model"] for row in rows_of(tmp_path / "sink")} == {"mlflow:digits/1"}
    predicted = run_command("predict", watched, "--model", "mlflow:digits/1", "--format", "json")
    assert len([json.loads(line)["prediction"] for line in predicted.out.splitlines()]) == 10


def test_a_server_that_is_away_is_one_line_before_any_work(tmp_path: Path) -> None:
    answer = run_command("train", "--data", "nowhere", "--models", tmp_path / "m", "--mlflow", "http://127.0.0.1:9")
    assert answer.code == 1
    assert answer.err.startswith("sparkdl: no MLflow server answers at http://127.0.0.1:9")
    assert answer.err.count("\n") == 1
    assert not (tmp_path / "m").exists()
