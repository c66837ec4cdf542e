"""Every command uses the same files of a label folder, as cameras and phones name them."""

from __future__ import annotations

import importlib.util
import io
import json
from pathlib import Path

import pytest
from command import run_command
from needs import need
from PIL import Image
from pyspark.sql import SparkSession

from training.data.synthetic.digits import draw_png

NAMES = {
    "_DSC0001.JPG": "JPEG",
    "IMG 1.jfif": "JPEG",
    "IMG_2": "JPEG",
    "scan.dat": "TIFF",
    "PHOTO.PNG": "PNG",
    "deep/_x/4.webp": "WEBP",
    "x.heic": "HEIF",
}
LEFT_OUT = ("notes.txt", "x.png.part", "old.bak")
QUICK = [
    word
    for setting in ("max_iter=3", "input_size=48", "tap_layers=block5", "pooling=average", "augmentations=0")
    for word in ("--set", setting)
]


def encode(digit: int, seed: int, image_format: str) -> bytes:
    if image_format == "HEIF":
        need(importlib.util.find_spec("pillow_heif"), "the extra heif is not installed")
        from pillow_heif import register_heif_opener

        register_heif_opener()
    target = io.BytesIO()
    with Image.open(io.BytesIO(draw_png(digit, seed))) as image:
        image.convert("RGB").save(target, image_format)
    return target.getvalue()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("camera")
    for digit, folder in ((3, "three"), (7, "_seven_")):
        for seed, (name, image_format) in enumerate(NAMES.items()):
            path = root / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(digit, seed, image_format))
        (root / folder / "notes.txt").write_text(f"words on {folder}")
        (root / folder / "x.png.part").write_bytes(draw_png(digit, 100)[:50])
        (root / folder / "old.bak").write_bytes(draw_png(digit, 101))
    return root


@pytest.fixture(scope="module")
def images(folders: Path) -> dict[str, bool]:
    """Every image by its path below the label folders, and that it is used."""
    return {f"{folder}/{name}": True for folder in ("three", "_seven_") for name in NAMES}


@pytest.fixture(scope="module")
def models(
    spark: SparkSession, folders: Path, images: dict[str, bool], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    models = tmp_path_factory.mktemp("camera-models")
    trained = run_command(
        "train", "--data", folders, "--models", models, "--test-fraction", 0.3, "--ignore", "*.bak", "--json", *QUICK
    )
    assert trained.code == 0, trained.err
    assert f"{len(images)} images of 2 classes" in trained.err
    check_left_out(trained.err)
    assert not [line for line in trained.err.splitlines() if line.startswith("left out: ")]
    return models


def check_left_out(err: str) -> None:
    (line,) = [line for line in err.splitlines() if " left out: " in line]
    assert line.startswith(f"{2 * len(LEFT_OUT)} left out: ")
    for name in LEFT_OUT:
        assert f"three/{name}" in line


def test_training_and_evaluation_use_all(models: Path, folders: Path, images: dict[str, bool]) -> None:
    evaluated = run_command("evaluate", "--model", models, "--data", folders, "--ignore", "*.bak", "--json")
    assert evaluated.code == 0, evaluated.err
    metrics = json.loads(evaluated.out)
    assert (metrics["n"], metrics["unreadable"]) == (len(images), 0)
    check_left_out(evaluated.err)


def test_predict_uses_all(models: Path, folders: Path, images: dict[str, bool]) -> None:
    predicted = run_command("predict", folders, "--model", models, "--ignore", "*.bak", "--format", "json")
    assert predicted.code == 0, predicted.err
    rows = {row["id"]: row for row in map(json.loads, predicted.out.splitlines())}
    assert {
        Path(name).relative_to(folders).as_posix(): row["prediction"] is not None for name, row in rows.items()
    } == images
    check_left_out(predicted.err)


def test_produce_and_stream_use_all(models: Path, folders: Path, images: dict[str, bool], tmp_path: Path) -> None:
    watched = tmp_path / "watched"
    sent = run_command("produce", "--data", folders, "--to", watched, "--ignore", "*.bak", "--label-folders")
    assert sent.code == 0, sent.err
    assert f"sent {len(images)} images" in sent.err
    check_left_out(sent.err)
    check_stream(
        models, watched, {f"{Path(name).parts[0]}/{Path(name).name}": ok for name, ok in images.items()}, tmp_path
    )


def test_a_stream_of_the_label_folders_uses_all_and_gives_the_rest_as_dead_letters(
    models: Path, folders: Path, images: dict[str, bool], tmp_path: Path
) -> None:
    others = {f"{folder}/notes.txt": False for folder in ("three", "_seven_")}
    err = check_stream(models, folders, images | others, tmp_path, "--ignore", "*.bak")
    told = {entry["reason"]: entry["count"] for entry in map(json.loads, err) if entry["event"] == "left out"}
    assert told == {"temporary": 2, "ignored": 2}


def check_stream(models: Path, source: Path, expected: dict[str, bool], tmp_path: Path, *more: str) -> list[str]:
    sink = tmp_path / "sink"
    streamed = run_command(
        *("stream", "--source", source, "--model", models, "--sink", sink, "--checkpoint", tmp_path / "checkpoint"),
        *("--available-now", "--stable-after", "0s", *more),
    )
    assert streamed.code == 0, streamed.err
    found = {}
    for dead in ((), ("--dead-letters",)):
        rows = run_command("predictions", sink, *dead, "--format", "json").out.splitlines()
        found |= {json.loads(row)["id"]: not dead for row in rows}
    assert found == expected
    return [line for line in streamed.err.splitlines() if line.startswith("{")]
