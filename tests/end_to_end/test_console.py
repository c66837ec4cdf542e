"""The command: what it answers to right and wrong requests, and with which exit code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from paths import ROOT
from pyspark.sql import SparkSession

from console.main import run
from sparkdl.images.rejection import Reason
from sparkdl.models.registry import ModelVersion, Registry
from streaming.kafka.local.broker import Broker
from training.data.loading import Dataset
from training.fitting.recipes import recipe
from training.train import train

METRICS = {
    "n",
    "accuracy",
    "accuracy_interval",
    "precision_weighted",
    "recall_weighted",
    "f1_weighted",
    "f1_macro",
    "roc_auc",
    "per_class",
    "confusion_matrix",
    "confusions",
}


# A small network and few iterations, where it does not matter how well a model reads.
QUICK = ["max_iter=3", "input_size=48", "tap_layers=block5", "pooling=average", "augmentations=0"]
QUICKLY = [word for setting in QUICK for word in ("--set", setting)]


@pytest.fixture
def folders(drawn: Dataset, tmp_path: Path) -> Path:
    """A directory of label folders: 4 drawn images of each class."""
    root = tmp_path / "labelled"
    for image in drawn:
        if int(Path(image.name).stem.split("-")[1]) < 4:
            target = root / image.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(image.read())
    return root


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian"], "Did you mean 'train'?"),
        (["train", "--dat", "samples"], "--data"),
        (["train"], "'--data'"),
        (["train", "--data", "nowhere"], "no such directory of labelled images: nowhere"),
        (["train", "--data", "empty"], "no labelled image found"),
        (["train", "--data", "nowhere.npz"], "no such directory of labelled images: nowhere.npz"),
        (["train", "--data", "kaggle:numta"], "expected kaggle:OWNER/NAME"),
        (["train", "--data", "lonely"], "class '4' has one image"),
        (["train", "--data", "samples:2", "--recipe", "digit"], "did you mean digits"),
        (["train", "--data", "samples:2", "--set", "max_itr=3"], "did you mean max_iter?"),
        (["train", "--data", "samples:2", "--set", "max_iter=many"], "received 'many'"),
        (["train", "--data", "samples:2", "--test-fraction", "1.5"], "between 0 and 1"),
        (["train", "--data", "samples:9", "--models", "a-file"], "a-file"),
        (["train", "--data", "samples:9", "--conf", "nonsense"], "--conf KEY=VALUE"),
        (
            ["evaluate", "--model", "registry", "--data", "samples:2", "--out", "a-file"],
            "--out: cannot create the directory",
        ),
        (["evaluate", "--model", "nowhere", "--data", "samples:2"], "no such model: nowhere"),
        (["evaluate", "--model", "empty", "--data", "samples:2"], "empty is not a model"),
        (["evaluate", "--model", "registry", "--against", "nowhere", "--data", "samples:2"], "no such model: nowhere"),
        (["predict", "nowhere.png", "--model", "registry"], "no such file or directory: nowhere.png"),
        (["predict", "empty", "--model", "registry"], "no image files in it"),
        (["stream"], "--source is missing"),
        (
            ["stream", "--source", "nowhere", "--sink", "out", "--checkpoint", "c"],
            "no such directory to watch: nowhere",
        ),
        (
            ["stream", "--source", "kafka://h/t", "--sink", "out", "--checkpoint", "c"],
            "kafka://HOST:PORT[,HOST:PORT]/TOPIC",
        ),
        (["stream", "--source", "s3://b/i", "--sink", "out", "--checkpoint", "c"], "expected --source"),
        (["stream", "--source", "empty", "--sink", "kafka://h:1/a,b", "--checkpoint", "c"], "the name of one topic"),
        (["stream", "--source", "empty", "--sink", "out", "--checkpoint", "c", "--kafka-config", "nowhere"], "nowhere"),
        (["produce", "--data", "samples:1", "--to", "kafka://h:1/t", "--label-folders"], "--label-folders"),
        (["predictions", "kafka://h:1"], "kafka://HOST:PORT[,HOST:PORT]/TOPIC"),
        (["stream", "--source", "empty", "--sink", "out", "--checkpoint", "c", "--trigger", "soon"], "such as 500ms"),
        (["stream", "--source", "empty", "--sink", "out", "--checkpoint", "c", "--label-from", "name"], "--label-from"),
        (
            ["stream", "--source", "empty", "--sink", "out", "--checkpoint", "c", "--stable-after", "soon"],
            "such as 500ms",
        ),
        (
            ["stream", "--source", "empty", "--sink", "o", "--checkpoint", "c", "--after-read", "archive"],
            "--archive-dir",
        ),
        (["stream", "--source", "empty", "--model", "empty", "--sink", "o", "--checkpoint", "c"], "not a model"),
        (["stream", "--source", "empty", "--model", "registry", "--sink", "s3:o", "--checkpoint", "c"], "parquet:DIR"),
        (["stream", "--source", "empty", "--model", "registry", "--sink", "s3:o", "--checkpoint", "c"], "delta:DIR"),
        (["stream", "--source", "empty", "--sink", "delta:a-file", "--checkpoint", "c"], "received 'delta:a-file'"),
        (["stream", "--source", "empty", "--model", "registry", "--sink", "o", "--checkpoint", "lonely"], "lonely"),
        (["produce", "--data", "samples:1", "--to", "a-file"], "a-file"),
        (["produce", "--data", "samples:1", "--to", "out", "--rate", "0"], "above 0 images a second"),
        (["predictions", "nowhere"], "no such sink: nowhere"),
        (["predictions", "lonely"], "lonely is not a sink"),
        (["predictions", "delta:nowhere"], "no such sink: delta:nowhere"),
        (["predictions", "delta:lonely"], "delta:lonely is not a Delta sink"),
        (["models"], "Missing command"),
        (["models", "list", "--models", "nowhere"], "no such registry: nowhere"),
        (["models", "promote", "20200101T000000-digits", "--models", "registry"], "unknown version"),
        (["kafka", "strat"], "start"),
        (["kafka", "start", "--dir", "lonely"], "lonely is not empty and holds no broker"),
        (["demo", "--out", "lonely"], "it is left alone"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_request_gets_one_line_and_exit_code_2(
    arguments: list[str],
    words: str,
    spark: SparkSession,
    registry: Registry,
    drawn: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "a-file").touch()
    (tmp_path / "registry").symlink_to(registry.path)
    for image, name in zip(drawn, ("3/a.png", "3/b.png", "4/c.png"), strict=False):
        (tmp_path / "lonely" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "lonely" / name).write_bytes(image.read())

    assert run(arguments) == 2

    printed = capsys.readouterr()
    assert printed.out == ""
    complaints = [line for line in printed.err.splitlines() if line.startswith("sparkdl: ")]
    assert len(complaints) == 1
    assert printed.err.splitlines()[-1] == complaints[0]
    assert words in complaints[0]
    assert not (tmp_path / "out").exists()


def test_no_arguments_print_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert "\nStreams:\n" in capsys.readouterr().out


def test_train_stream_and_read_with_the_command_alone(
    spark: SparkSession, folders: Path, drawn: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models, watched, sink = tmp_path / "models", tmp_path / "watched", tmp_path / "sink"

    train = ["train", "--data", str(folders), "--models", str(models), "--test-fraction", "0.25", "--json"]
    assert run([*train, "--set", "max_iter=3", "--set", "augmentations=1"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert set(metrics) >= METRICS
    assert metrics["n"] == 10

    assert run(["models", "list", "--models", str(models), "--format", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["promoted"] == "*"
    assert run(["models", "verify", "--models", str(models)]) == 0
    assert run(["models", "show", listed["version"], "--models", str(models)]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"] == metrics

    assert run(["produce", "--data", str(folders), "--to", str(watched), "--label-folders", "--shuffle"]) == 0
    (watched / "broken.png").write_bytes(b"not an image")
    assert sum(path.is_file() for path in watched.rglob("*")) == 41
    capsys.readouterr()

    assert run(["predictions", str(watched)]) == 2  # a directory, but not a sink
    stream = ["stream", "--source", str(watched), "--model", str(models), "--sink", f"parquet:{sink}"]
    stream += ["--after-read", "archive", "--archive-dir", str(tmp_path / "archive"), "--stable-after", "0s"]
    assert run([*stream, "--checkpoint", str(tmp_path / "c"), "--available-now", "--label-from", "parent"]) == 0
    log = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    assert [entry["event"] for entry in log] == ["stream started", "batch", "stream ended"]
    assert (log[1]["images"], log[1]["predictions"], log[1]["dead_letters"]) == (41, 40, 1)

    assert run(["predictions", str(sink), "--format", "json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["id"] for row in rows} == {
        path.relative_to(tmp_path / "archive").as_posix() for path in (tmp_path / "archive").glob("*/*.png")
    }
    assert not any(path.is_file() for path in watched.rglob("*"))
    assert all(row["label"] == row["id"].split("/")[0] for row in rows)
    assert {row["model"] for row in rows} == {listed["version"]}

    assert run(["predictions", str(sink), "--dead-letters", "--format", "json"]) == 0
    (dead,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (dead["id"], dead["reason"]) == ("broken.png", Reason.UNSUPPORTED_FORMAT)

    assert run(["predictions", str(sink), "--summary", "--format", "json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["images"], summary["labelled"], summary["reasons"]) == (41, 40, {"unsupported_format": 1})

    files = f"{sink}/predictions/*/*.parquet"
    assert duckdb.sql(f"SELECT count(*), count(DISTINCT id) FROM read_parquet('{files}')").fetchall() == [(40, 40)]


def test_train_counts_duplicates_and_names_contradictions_and_a_few_of_many_problems(
    spark: SparkSession, folders: Path, drawn: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folders / "4" / "again.png").write_bytes((folders / "4" / "4-00001.png").read_bytes())
    (folders / "7" / "wrong.png").write_bytes((folders / "4" / "4-00002.png").read_bytes())
    for number in range(8):
        (folders / "9" / f"broken{number}.png").write_text(f"no image {number}")
    train = ["train", "--data", str(folders), "--models", str(tmp_path / "models"), "--test-fraction", "0.25"]
    assert run([*train, *QUICKLY]) == 0
    said = capsys.readouterr().err.splitlines()
    assert "2 of 50 images are duplicates; the split keeps duplicates together" in said
    assert "problem: 4/4-00002.png (4), 7/wrong.png (7): the same picture with different labels" in said
    left_out = [line for line in said if line.startswith("left out: ")]
    assert len(left_out) == 6
    assert left_out[-1] == "left out: 8 in all, the first 5 above"


def test_evaluate_prints_the_same_keys_as_train_and_writes_the_report(
    spark: SparkSession, model: ModelVersion, folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", "--model", str(model.path), "--data", str(folders), "--json", "--out", str(tmp_path / "r")]
    assert run(arguments) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["n"] == 40
    assert set(metrics) == set(model.description["metrics"])
    assert json.loads((tmp_path / "r" / "metrics.json").read_text()) == metrics


def test_evaluate_warns_if_the_model_was_trained_on_the_images(
    spark: SparkSession, model: ModelVersion, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["evaluate", "--model", str(model.path), "--data", "samples:2"]) == 0
    printed = capsys.readouterr()
    assert "was trained on images of samples:2, so its metrics are too optimistic" in printed.err
    assert "calibration error" in printed.out
    assert "images per second" in printed.out
    assert run(["evaluate", "--model", str(model.path), "--data", "samples:2", "--seed", "5"]) == 0
    assert "was trained on" not in capsys.readouterr().err


def test_evaluate_compares_two_models_on_the_same_images(
    spark: SparkSession,
    drawn: Dataset,
    model: ModelVersion,
    folders: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    few = replace(drawn, images=drawn.images[::5])
    weak = train(spark, few, recipe("digits", [*QUICK, "max_iter=1"]), Registry(tmp_path / "m")).version
    arguments = ["evaluate", "--model", str(model.path), "--against", str(weak.path), "--data", str(folders)]
    assert run([*arguments, "--json", "--out", str(tmp_path / "r")]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures == json.loads((tmp_path / "r" / "comparison.json").read_text())
    assert (figures["model"]["name"], figures["against"]["name"]) == (model.name, weak.name)
    assert figures["n"] == 40
    assert figures["difference"] == pytest.approx(figures["model"]["accuracy"] - figures["against"]["accuracy"])
    assert figures["different_predictions"] > 0
    assert (tmp_path / "r" / "differences.png").is_file()
    assert f"## Comparison with {weak.name}" in (tmp_path / "r" / "report.md").read_text()

    assert run(arguments) == 0
    printed = capsys.readouterr().out
    assert "McNemar" in printed
    assert f"{figures['difference']:+.4f}" in printed


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_predict_names_each_file_and_what_cannot_be_read(
    form: str, spark: SparkSession, registry: Registry, folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folders / "7" / "7-cut.png").write_bytes((folders / "7" / "7-00000.png").read_bytes()[:100])
    assert run(["predict", str(folders / "7"), "--model", str(registry.path), "--format", form]) == 0
    printed = capsys.readouterr()
    assert printed.out.count("truncated") == 1
    assert "1 of 5 could not be classified" in printed.err
    if form == "json":
        rows = [json.loads(line) for line in printed.out.splitlines()]
        assert [row["prediction"] is None for row in rows] == [False] * 4 + [True]


@pytest.mark.slow
def test_the_demo_ends_by_itself_and_accounts_for_every_file(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NUMTADB_HOME", raising=False)
    out = tmp_path / "demo"
    assert run(["demo", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    for reason in ("empty", "truncated", "corrupt", "unsupported_format", "too_many_pixels"):
        assert reason in printed
    assert run(["predictions", str(out / "sink"), "--summary", "--format", "json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["images"], summary["predictions"], summary["dead_letters"]) == (205, 200, 5)
    assert summary["accuracy"] > 0.85
    assert run(["demo", "--out", str(tmp_path)]) == 2  # not empty, and no demo's


@pytest.mark.slow
def test_the_demo_takes_the_same_way_through_a_broker(
    kafka_spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NUMTADB_HOME", raising=False)
    out = tmp_path / "demo"
    assert run(["demo", "--kafka", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    for reason in ("empty", "truncated", "corrupt", "unsupported_format", "too_many_pixels"):
        assert reason in printed
    shown = dict(line.strip("│ ").split("│") for line in printed.splitlines() if line.count("│") == 3)
    figures = {name.strip(): value.strip() for name, value in shown.items()}
    assert (figures["images"], figures["predictions"], figures["dead letters"]) == ("205", "200", "5")
    # The labels came as headers, and all of them did.
    assert re.fullmatch(r"0\.\d+ \(\d+ of 200 labelled\)", figures["accuracy"])
    assert not Broker(out / "broker").status().running


def test_the_help_of_every_command_fits_80_columns_and_starts_no_spark() -> None:
    environment = {**os.environ, "COLUMNS": "80", "JAVA_HOME": "/nonexistent", "PYTHONPATH": str(ROOT)}
    names = ["train", "evaluate", "predict", "stream", "produce", "predictions", "models", "kafka", "demo"]
    program = f"from console.main import run\nfor name in {names}: assert run([name, '--help']) == 0"
    command = [sys.executable, "-c", program]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert shown.stdout.count("Usage: ") == len(names)
    assert max(map(len, shown.stdout.splitlines())) <= 80
