"""Fault test: mixes good images with images that crash or delay their decoder; counts and times the results.

python benchmarks/faults/slow_images.py [--good N] [--crashing N] [--slow N] [--decode-timeout SECONDS]
python benchmarks/faults/slow_images.py --good 10000 --crashing 10000 --slow 1000 --decode-timeout 30 --ratio 10

No known image crashes the codecs in use, so a fault is planted into them (`planted/sitecustomize.py`): a real read of
address 0, and 40 s of real work per image. The good images pass through a stream alone, then shuffled with the others
through a new stream. Each is timed from its start, with a running JVM, to the last good image in the sink. Then SIGTERM
stops a stream that only gets slow images. In addition to the counts, the test checks that:

- the other images delay the good ones by at most `bound`, or with `--ratio` by at most this factor;
- SIGTERM ends the stream within the bound of its micro-batch.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from harness import (
    BROKEN_LABEL,
    ROOT,
    WORK,
    Expected,
    Trial,
    drawn_images,
    drop,
    processes_of,
    trained_models,
    verdict,
    wait_until,
)
from planted.sitecustomize import CRASH, SECONDS, SLOW

from sparkdl.decoding.isolation.time_limit import AdaptiveTimeout
from training.data.loading import LabelledImage

SLOTS = 2
PLANTED = f"{ROOT / 'benchmarks' / 'faults' / 'planted'}:{ROOT}"
_CRASH_SECONDS = 0.1
_MOST_SLOW_BYTES = 20_000  # encoded; they are drawn digits
_BESIDE = 15.0  # additional seconds for starting workers and for a loaded machine


def bound(timeout: float, slow: int, crashing: int) -> float:
    """Return the maximum seconds by which these images delay the good ones, as in docs/explanation/decoding.md."""
    least = AdaptiveTimeout(timeout).min_limit(_MOST_SLOW_BYTES)
    return 1.5 * timeout + (slow * least * 1.2 + crashing * _CRASH_SECONDS) / SLOTS + _BESIDE


def planted(images: Sequence[LabelledImage], fault: bytes, prefix: str) -> list[LabelledImage]:
    """Return the images with a fault, under other names."""
    return [
        replace(image, name=f"{prefix}-{image.name}", label=BROKEN_LABEL, payload=image.read() + fault)
        for image in images
    ]


def events(trial: Trial) -> Iterator[tuple[float, dict[str, Any]]]:
    """Yield the log events of the stream, with the time in seconds."""
    for line in trial.log.read_text().splitlines():
        if line.startswith("{"):
            told = json.loads(line)
            yield datetime.fromisoformat(told["timestamp"]).timestamp(), told


def seconds_until(trial: Trial, good: int) -> float:
    """Return the seconds from the start of the stream until `good` predictions were in the sink."""
    began, predictions = 0.0, 0
    for at, told in events(trial):
        if told["event"] == "stream started":
            began = at
        if told["event"] == "batch":
            predictions += told["predictions"]
            if predictions >= good:
                return at - began
    return float("inf")


def answered(models: Path, title: str, images: Sequence[LabelledImage], timeout: float) -> tuple[Trial, Expected]:
    """Run a stream of these images to its end."""
    trial = Trial(WORK / f"slow-images-{title}", models)
    expected = drop(images, trial.watched)
    flags = ("--available-now", "--stable-after", "0s", "--decode-timeout", f"{timeout:g}s")
    trial.run(*flags, seconds=3600, PYTHONPATH=PLANTED)
    return trial, expected


def stopped(models: Path, images: Sequence[LabelledImage], timeout: float) -> tuple[float, int]:
    """Return the seconds until a stream ends after SIGTERM in its first micro-batch, and its exit code."""
    trial = Trial(WORK / "slow-images-stopped", models)
    drop(images, trial.watched)
    flags = ("--stable-after", "0s", "--decode-timeout", f"{timeout:g}s", "--max-images-per-trigger", str(len(images)))
    with trial.stream(*flags, PYTHONPATH=PLANTED) as process:
        wait_until(lambda: _decodes(process.pid) or process.poll() is not None, 120)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        code = process.wait(3600)
        return time.monotonic() - began, code


def _decodes(driver: int) -> bool:
    for process in processes_of(driver):
        with suppress(psutil.Error):
            if "sparkdl.decoding.isolation.server" in process.cmdline():
                return True
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--good", type=int, default=300)
    parser.add_argument("--crashing", type=int, default=100)
    parser.add_argument("--slow", type=int, default=20)
    parser.add_argument("--stopped", type=int, default=40, help="slow images of the stream that is stopped")
    parser.add_argument("--decode-timeout", type=float, default=2.0)
    parser.add_argument("--ratio", type=float, help="maximum time of the good images, relative to that alone")
    chosen = parser.parse_args()
    models, timeout = trained_models(), chosen.decode_timeout
    good = drawn_images(chosen.good, broken=0)
    crashing = planted(drawn_images(chosen.crashing, broken=0, seed=2), CRASH, "crash")
    slow = planted(drawn_images(chosen.slow, broken=0, seed=3), SLOW, "slow")
    broken = 0

    trial, expected = answered(models, "alone", good, timeout)
    alone = seconds_until(trial, len(good))
    broken |= verdict("alone", trial, expected, {"seconds": round(alone, 1)})

    trial, expected = answered(models, "mixed", [*good, *crashing, *slow], timeout)
    mixed = seconds_until(trial, len(good))
    most = alone + bound(timeout, len(slow), len(crashing))
    if chosen.ratio:
        most = min(most, chosen.ratio * alone)
    facts = {"seconds": round(mixed, 1), "times alone": round(mixed / alone, 1), "at most": round(most, 1)}
    broken |= verdict("mixed", trial, expected, facts)
    if mixed > most:
        broken = 1
        print(f"the good ones: BROKEN, answered {mixed - most:.1f} s later than in the time that is stated")

    seconds, code = stopped(models, planted(drawn_images(chosen.stopped, broken=0, seed=4), SLOW, "slow"), timeout)
    most = bound(timeout, chosen.stopped, 0)
    kept = seconds <= most and code == 0
    told = {"SIGTERM to end, seconds": round(seconds, 1), "at most": round(most, 1), "exit code": code}
    print(f"stopped in a micro-batch of slow images: {'kept' if kept else 'BROKEN'} {json.dumps(told)}")
    print(f"slow images keep a decoder busy for {SECONDS:g} s each; {timeout:g} s were allowed")
    return 1 if broken or not kept else 0


if __name__ == "__main__":
    sys.exit(main())
