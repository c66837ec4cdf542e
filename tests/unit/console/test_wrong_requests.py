"""A wrong request is answered in one line, before any library is loaded that takes long to load."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_process import SLOW, run_process
from folders import write_files

STREAM = ("stream", "--source", "empty", "--model", "pipeline", "--sink", "out", "--checkpoint", "progress")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with an empty directory, a file, what looks like a saved pipeline, and labelled images."""
    place = tmp_path / "place"
    for directory in ("empty", "pipeline/metadata", "pipeline/stages"):
        (place / directory).mkdir(parents=True)
    (place / "a-file").touch()
    write_files(place, "table/1.png", "split/train/cat/1.png", "split/train/dog/1.png")
    (place / "table" / "labels.csv").write_text("who,what\n1.png,cat\n")
    return place


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "Did you mean 'train'?"),
        (["train", "--dat", "samples"], "--data"),
        (["train", "--data", "nowhere"], "no such directory of labelled images: nowhere"),
        (["train", "--data", "samples:2", "--recipe", "digit"], "did you mean digits"),
        (["train", "--data", "samples:2", "--set", "max_itr=3"], "did you mean max_iter?"),
        (["train", "--data", "samples:2", "--conf", "nonsense"], "--conf KEY=VALUE"),
        (["train", "--data", "samples:2", "--seed", "x"], "'--seed'"),
        (["evaluate", "--data", "samples:2"], "'--model'"),
        (["evaluate", "--model", "nowhere", "--data", "samples:2"], "no such model: nowhere"),
        (["evaluate", "--model", "pipeline", "--data", "nowhere"], "no such directory of labelled images: nowhere"),
        (["train", "--data", "samples:2", "--ignore", "!a"], "--ignore: expected a pattern such as *.bak"),
        (["train", "--data", "samples:2", "--layout", "split"], "--layout is for directories"),
        (["train", "--data", "table"], "no column is known for the image among who, what"),
        (["evaluate", "--model", "pipeline", "--data", "split"], "for training only"),
        (["predict", "empty", "--model", "pipeline"], "empty: no image files in it"),
        (["predict", "empty", "--ignore", ""], "--ignore: expected a pattern such as *.bak"),
        ([*STREAM, "--ignore", "/"], "--ignore: expected a pattern such as *.bak"),
        (["produce", "--data", "table", "--to", "out"], "--image-column"),
        (["predict", "empty", "--modle", "pipeline"], "--model"),
        (["predict", "empty", "--model", "nowhere"], "no such model: nowhere"),
        (["predict", "nowhere.png", "--model", "pipeline"], "no such file or directory: nowhere.png"),
        (["train", "--data", "samples:2", "--mlflow", "localhost:5000"], "is no MLflow server: expected http://"),
        (["train", "--data", "samples:2", "--mlflow", "sqlite:////nowhere/m.db"], "no such directory: /nowhere"),
        (["models", "export", "current", "--to", "mlflow:", "--mlflow", "http://h:1"], "expected mlflow:NAME"),
        (["models", "export", "current", "--to", "mlflow:a", "--alias", "latest"], "--alias"),
        (["models", "export", "current", "--to", "mlflow:a", "--mlflow", "http://h:1"], "no such model: models"),
        (["predict", "empty", "--model", "mlflow:digits"], "expected mlflow:NAME@ALIAS"),
        ([*STREAM, "--model", "mlflow:digits@champion"], "give --mlflow URI or set MLFLOW_TRACKING_URI"),
        ([*STREAM, "--model", "mlflow:digits@champion", "--mlflow", "ftp://h"], "is no MLflow server"),
        (["stream"], "--source is missing"),
        ([*STREAM, "--conf", "nonsense"], "--conf KEY=VALUE"),
        ([*STREAM, "--trigger", "soon"], "such as 500ms"),
        ([*STREAM, "--source", "nowhere"], "no such directory to watch: nowhere"),
        ([*STREAM, "--source", "kafka://h/t"], "kafka://HOST:PORT[,HOST:PORT]/TOPIC"),
        ([*STREAM, "--sink", "s3:o"], "parquet:DIR"),
        ([*STREAM, "--model", "nowhere"], "no such model: nowhere"),
        ([*STREAM, "--model", "empty"], "empty is not a model"),
        (["produce", "--data", "nowhere", "--to", "out"], "no such directory of labelled images: nowhere"),
        (["produce", "--data", "samples:1", "--to", "s3://a/b"], "expected --to as a directory"),
        (["produce", "--data", "samples:1", "--to", "a-file"], "a-file"),
        (["predictions", "nowhere"], "no such sink: nowhere"),
        (["predictions", "empty"], "empty is not a sink"),
        (["predictions", "kafka://h:1"], "kafka://HOST:PORT[,HOST:PORT]/TOPIC"),
        (["predictions", "out", "--format", "xml"], "'xml' is not one of"),
        (["models", "list", "--models", "nowhere"], "no such registry: nowhere"),
        (["models", "show", "--models", "nowhere"], "no such model"),
        (["models", "promote", "20200101T000000-digits", "--models", "empty"], "no models in it"),
        (["kafka", "strat"], "start"),
        (["kafka", "start", "--port", "-1"], "--port"),
        (["demo", "--out", "pipeline"], "it is left alone"),
        (["demo", "--data", "nowhere"], "no such directory of labelled images: nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_request_is_answered_before_slow_libraries_are_loaded(
    arguments: list[str], message: str, place: Path, tmp_path: Path
) -> None:
    answer = run_process(arguments, place, tmp_path)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("sparkdl: ")
    assert answer.err.count("\n") == 1
    assert message in answer.err
    assert answer.loaded & SLOW == set()


def test_the_help_loads_no_library_that_it_does_not_show(tmp_path: Path) -> None:
    answer = run_process(["--help"], tmp_path, tmp_path)
    assert answer.code == 0
    assert answer.loaded & (SLOW | {"numpy", "pyarrow", "PIL"}) == set()


def test_the_modules_of_a_process_are_seen(tmp_path: Path) -> None:
    # What the assertion above rests on.
    answer = run_process(["train", "--help"], tmp_path, tmp_path)
    assert {"console.commands.train", "typer"} <= answer.loaded
    assert "pyspark" not in answer.loaded
