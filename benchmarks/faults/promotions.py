"""Fault test: promotes models, some of them broken, while a stream runs, and counts the results.

python benchmarks/faults/promotions.py [--promotions N] [--broken N] [--images N]

Copies of one trained model are promoted one after the other, each after the stream has accepted or refused the last
one. Broken ones (a changed file, a description with other classes) are promoted by writing CURRENT directly. Images
arrive continuously. Exit code 0 if every image is in the sink exactly once, every good version was used, in order,
every broken one was refused, and no micro-batch has rows of two versions.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import threading
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
from harness import WORK, Trial, drawn_images, drop, expected_of, trained_models, verdict, wait_until

from sparkdl.models.registry import CURRENT, MODEL_JSON, Registry
from sparkdl.system.files import write_atomically

DECIDED = ("model changed", "model refused")
"""The log events of a promotion."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--promotions", type=int, default=10)
    parser.add_argument("--broken", type=int, default=2)
    parser.add_argument("--images", type=int, default=2000)
    chosen = parser.parse_args()
    trial = Trial(WORK / "promotions", WORK / "promotions" / "models")
    first = Registry(trained_models()).current()
    assert first is not None
    registry = Registry(trial.models)
    names = [f"29990101T{n:06d}-copy" for n in range(chosen.promotions)]
    for name in (first.name, *names):
        shutil.copytree(first.path, registry.path / name)
    registry.promote(first.name)
    every = chosen.promotions // (chosen.broken or chosen.promotions + 1) or 1
    broken = names[every - 1 :: every][: chosen.broken]
    for number, name in enumerate(broken):
        (_change_a_file, _rename_a_class)[number % 2](registry.path / name)

    images = drawn_images(chosen.images)
    rate = chosen.images / (6 * chosen.promotions)  # a second
    with trial.stream("--trigger", "0s", "--max-images-per-trigger", "50") as process:
        producer = threading.Thread(target=drop, args=(images, trial.watched, rate), daemon=True)
        producer.start()
        wait_until(lambda: trial.batches() > 0 or process.poll() is not None, 120)
        for name in names:
            told = _told(trial, *DECIDED)
            _point_to(registry, name)
            wait_until(partial(_more_told, trial, told), 120)
            batches = trial.batches()
            wait_until(partial(_went_on, trial, batches, producer), 120)
        producer.join()
        wait_until(lambda: sum(len(trial.ids(part)) for part in ("predictions", "dead_letters")) >= len(images), 300)
        process.send_signal(signal.SIGTERM)
        code = process.wait(120)
    taken = [line["new"] for line in _lines(trial, "model changed")]
    refused = [line["model"] for line in _lines(trial, "model refused")]
    mixed = [batch for batch, models in _models_of_batches(trial).items() if len(models) > 1]
    seen = set().union(*_models_of_batches(trial).values())
    facts = {"promotions": len(names), "taken": len(taken), "refused": len(refused), "mixed batches": len(mixed)}
    result = verdict("promotions", trial, expected_of(images), facts | {"models in rows": len(seen), "exit code": code})
    good = [name for name in names if name not in broken]
    if (taken, refused, mixed) != (good, broken, []) or not seen <= {first.name, *good}:
        print(f"  taken: {taken}\n  refused: {refused}\n  mixed: {mixed}\n  in rows: {sorted(seen)}")
        return 1
    return result or code


def _change_a_file(version: Path) -> None:
    network = next(version.rglob("network.onnx"))
    network.write_bytes(network.read_bytes()[:-1])


def _rename_a_class(version: Path) -> None:
    description = json.loads((version / MODEL_JSON).read_text())
    description["classes"][0] = "another"
    (version / MODEL_JSON).write_text(json.dumps(description))


def _point_to(registry: Registry, name: str) -> None:
    write_atomically(registry.path / CURRENT, f"{name}\n")


def _lines(trial: Trial, *events: str) -> list[dict[str, str]]:
    lines = [json.loads(line) for line in trial.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] in events]


def _told(trial: Trial, *events: str) -> int:
    return len(_lines(trial, *events))


def _more_told(trial: Trial, before: int) -> bool:
    """Whether more than `before` promotions have been decided."""
    return _told(trial, *DECIDED) > before


def _went_on(trial: Trial, before: int, producer: threading.Thread) -> bool:
    """Whether there are more than `before` micro-batches, or no more images."""
    return trial.batches() > before or not producer.is_alive()


def _models_of_batches(trial: Trial) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path in trial.sink.glob("predictions/batch=*/*.parquet"):
        found.setdefault(path.parent.name, set()).update(pq.ParquetFile(path).read(["model"])["model"].to_pylist())
    return found


if __name__ == "__main__":
    sys.exit(main())
