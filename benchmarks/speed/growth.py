"""Throughput with growing numbers of files, messages, pixels, classes and micro-batches."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bench import Bench, batches, drawn, running, sparkdl, stream
from process_usage import Measured
from scipy import stats
from throughput import BROKER, fill, to_stream

FILES = (1_000, 10_000, 50_000)
SIDES = (28, 180, 1024, 4000)
CLASSES = (10, 100, 1000)


def growth(bench: Bench, rounds: int, images: int, warm_up: int, say: Callable[[str], None]) -> dict[str, Any]:
    registry = bench.model()
    quick = rounds == 1
    found: dict[str, Any] = {}

    def note(name: str, figures: dict[str, Any]) -> None:
        found[name] = figures
        say(f"  {name}: {figures}")

    small = drawn(28)
    for count in FILES[: 1 if quick else None]:
        watched = bench.images(count, "small", small)
        rates = [_until(bench, registry, str(watched), FILES[0], 200).rate for _ in range(1 if quick else 3)]
        note(f"{count} files", {"rate": float(np.median(rates))})
    for side in SIDES[: 2 if quick else None]:
        count = max(256, min(4096, 4096 * 180**2 // side**2))
        watched = bench.images(count, f"side-{side}", [_photo(side, seed) for seed in range(8)])
        note(f"{side} px", {"rate": _all(bench, registry, watched, count)})
    for classes in CLASSES[: 1 if quick else None]:
        model = registry if classes == 10 else _model_of(bench, classes)
        note(f"{classes} classes", {"rate": _all(bench, model, bench.images(4096), 4096)})
    note("200 micro-batches", _long(bench, registry, 20 if quick else 200))
    if not quick:
        from streaming.kafka.local.broker import Broker

        with Broker(BROKER).running(port=0) as broker:
            for count in (10_000, 100_000):
                topic = fill(broker, bench.images(count, "small", small))
                measured = _until(bench, registry, f"kafka://{broker}/{topic}", FILES[1], 2000)
                note(f"{count} messages", {"rate": measured.rate})
    return found


def _until(bench: Bench, registry: Path, source: str, count: int, size: int) -> Measured:
    """Measure the rate over the first `count` images, in micro-batches of `size`, without the first fifth."""
    place = bench.place()
    command = sparkdl("stream", *to_stream(registry, source, f"parquet:{place / 'sink'}", place))
    command += ["--max-images-per-trigger", str(size)]
    with running(command, place) as (process, watch):
        while (progress := batches(place / "log"))[-1:] == [] or progress[-1][1] < count:
            if process.poll() is not None and batches(place / "log") == progress:
                break
            time.sleep(0.2)
    return watch.measured(progress, count // 5)


def _all(bench: Bench, registry: Path, watched: Path, count: int) -> float:
    place = bench.place()
    command = to_stream(registry, str(watched), f"parquet:{place / 'sink'}", place)
    return stream([*command, "--max-images-per-trigger", str(max(count // 8, 32))], place, count // 4).rate


def _photo(side: int, seed: int) -> bytes:
    """Return a JPEG of a digit on paper, like a camera's."""
    from PIL import Image

    target = io.BytesIO()
    with Image.open(io.BytesIO(drawn(180, 8)[seed])) as image:
        paper = np.asarray(image.resize((side, side), Image.Resampling.BICUBIC), np.int16)
    grain = np.random.default_rng(seed).normal(0, 6, paper.shape).astype(np.int16)
    Image.fromarray(np.clip(paper + grain, 0, 255).astype(np.uint8)).save(target, "JPEG", quality=90)
    return target.getvalue()


def _model_of(bench: Bench, classes: int) -> Path:
    """Return a model with `classes` classes, which are digits with new numbers: only its speed matters."""
    from bench import WORK, run

    registry, data = WORK / f"models-{classes}", WORK / f"classes-{classes}"
    if not (registry / "CURRENT").is_file():
        sources = drawn(28, 2 * classes)
        for number, payload in enumerate(sources):
            path = data / f"{number % classes:04d}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(payload)
        settings = ["augmentations=0", "max_iter=2", "calibrate=false"]
        run([*sparkdl("train", "--data", str(data), "--models", str(registry), "--test-fraction", "0.5"),
             *[word for setting in settings for word in ("--set", setting)]])  # fmt: skip
    return registry


def _long(bench: Bench, registry: Path, count: int) -> dict[str, Any]:
    """Measure many small micro-batches: the duration of each by its number."""
    place = bench.place()
    watched = bench.images(32 * count, "small", drawn(28))
    command = to_stream(registry, str(watched), f"parquet:{place / 'sink'}", place)
    measured = stream([*command, "--max-images-per-trigger", "32"], place, 32 * count // 5)
    at = np.array([second for second, _ in batches(place / "log")])
    seconds = np.diff(at)[count // 5 :]
    line = stats.linregress(np.arange(len(seconds)), seconds)
    margin = stats.t.ppf(0.975, len(seconds) - 2) * line.stderr
    return {
        "batches": count,
        "rate": measured.rate,
        "median_seconds": float(np.median(seconds)),
        "slope_seconds_per_100": [
            100 * float(value) for value in (line.slope, line.slope - margin, line.slope + margin)
        ],
    }
