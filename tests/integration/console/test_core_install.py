"""A stream on the core install: no process of it needs a package of an extra."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_process import Answer, run_process

from sparkdl.models.registry import Registry
from sparkdl.system.extras import EXTRAS
from training.data.loading import Dataset

OPTIONAL = {module for modules in EXTRAS.values() for module in modules} | {"pandas", "h5py", "joblib"}


@pytest.fixture(scope="module")
def streamed(registry: Registry, drawn: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answer]:
    """The directory and the answer of a stream over 10 images and a broken one."""
    place = tmp_path_factory.mktemp("core")
    watched, modules = place / "watched", place / "modules"
    for directory in (watched, modules):
        directory.mkdir()
    for number, image in enumerate(drawn.images[:10]):
        (watched / f"{number}.png").write_bytes(image.read())
    (watched / "broken.png").write_bytes(b"no image")
    arguments = ["stream", "--source", "watched", "--model", str(registry.path), "--sink", "out"]
    arguments += [
        "--checkpoint",
        "progress",
        "--available-now",
        "--stable-after",
        "0s",
        "--conf",
        "spark.master=local[2]",
    ]
    return place, run_process(arguments, place, modules, without=OPTIONAL)


@pytest.mark.slow
def test_a_stream_from_files_needs_no_extra(streamed: tuple[Path, Answer]) -> None:
    _, answer = streamed
    assert answer.code == 0, answer.err
    log = [json.loads(line) for line in answer.err.splitlines() if line.startswith("{")]
    assert (log[-1]["event"], log[-1]["images"]) == ("stream ended", 11)


@pytest.mark.slow
def test_its_predictions_are_read_without_an_extra(streamed: tuple[Path, Answer], tmp_path: Path) -> None:
    place, _ = streamed
    answer = run_process(["predictions", "out", "--summary", "--format", "json"], place, tmp_path, without=OPTIONAL)
    assert answer.code == 0, answer.err
    summary = json.loads(answer.out)
    assert (summary["predictions"], summary["reasons"]) == (10, {"unsupported_format": 1})


@pytest.mark.slow
def test_files_are_classified_without_an_extra(
    streamed: tuple[Path, Answer], registry: Registry, tmp_path: Path
) -> None:
    place, _ = streamed
    arguments = ["predict", "watched", "--model", str(registry.path), "--format", "json"]
    answer = run_process([*arguments, "--conf", "spark.master=local[2]"], place, tmp_path, without=OPTIONAL)
    assert answer.code == 0, answer.err
    assert len(answer.out.splitlines()) == 11
