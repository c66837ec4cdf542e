"""Fault test: runs a stream at a steady rate and reports growth of memory, micro-batch duration and files.

python benchmarks/faults/steady.py [--minutes N] [--rate N] [--warm-up N] [--after-read keep|archive|delete]

Every five seconds the memory of the stream's processes is sampled (PSS: shared pages count once). The driver's heap is
read from its own log: the size after a full collection, which Spark is configured to trigger every minute instead of
every half hour. After the warm-up a straight line is fitted to the values of each minute, and its slope is printed with
the 95% interval. Exit code 0 if every image is in the sink exactly once.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import numpy as np
import psutil
from harness import WORK, Trial, drawn_images, drop, expected_of, processes_of, trained_models, verdict, wait_until
from scipy import stats

_EVERY = 5.0  # seconds
_MIB = 2**20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--rate", type=float, default=50, help="images per second")
    parser.add_argument("--warm-up", type=float, default=5, help="minutes that are not evaluated")
    parser.add_argument("--after-read", default="delete")
    chosen = parser.parse_args()
    trial = Trial(WORK / f"steady-{chosen.after_read}", trained_models())
    images = drawn_images(round(chosen.minutes * 60 * chosen.rate))
    flags = ["--trigger", "1s", "--after-read", chosen.after_read, "--conf", "spark.cleaner.periodicGC.interval=1min"]
    if chosen.after_read == "archive":
        flags += ["--archive-dir", str(trial.root / "archive")]
    samples: dict[str, list[tuple[float, float]]] = defaultdict(list)
    collections = Path(tempfile.mkdtemp()) / "gc.log"
    with trial.stream(*flags, JAVA_TOOL_OPTIONS=f"-Xlog:gc:file={collections}:uptime") as process:
        wait_until(lambda: b"stream started" in trial.log.read_bytes() or process.poll() is not None, 120)
        began = time.monotonic()
        began_at = time.time()
        java_began = next(p.create_time() for p in processes_of(process.pid) if "java" in p.name())
        producer = threading.Thread(target=drop, args=(images, trial.watched, chosen.rate), daemon=True)
        producer.start()
        while producer.is_alive() and process.poll() is None:
            minute = (time.monotonic() - began) / 60
            for name, value in _memory(process.pid).items():
                samples[name].append((minute, value))
            for name, path in (("checkpoint files", trial.checkpoint), ("watched files", trial.watched)):
                samples[name].append((minute, sum(1 for found in path.rglob("*") if found.is_file())))
            producer.join(_EVERY)
        wait_until(lambda: sum(len(trial.ids(part)) for part in ("predictions", "dead_letters")) >= len(images), 300)
        process.send_signal(signal.SIGTERM)
        code = process.wait(120)
    for line in trial.log.read_text().splitlines():
        event = json.loads(line) if line.startswith("{") else {}
        if event.get("event") == "batch":
            at = (datetime.fromisoformat(event["timestamp"]).timestamp() - began_at) / 60
            samples["seconds a micro-batch"].append((at, event["seconds"]))
            samples["images a micro-batch"].append((at, event["images"]))
    offset = (java_began - began_at) / 60
    for line in collections.read_text().splitlines():
        if found := re.search(r"^\[([\d.]+)s\].*Pause Full.*->(\d+)M\(", line):
            samples["driver's heap after a full collection, MiB"].append(
                (offset + float(found[1]) / 60, float(found[2]))
            )
    for name, values in sorted(samples.items()):
        print(f"  {name}: {_slope(values, chosen.warm_up, chosen.minutes)}")
    facts = {"minutes": chosen.minutes, "rate": chosen.rate, "after read": chosen.after_read, "exit code": code}
    return verdict(f"steady-{chosen.after_read}", trial, expected_of(images), facts) or code


def _memory(group: int) -> Mapping[str, float]:
    """Return the memory in MiB by kind of process, and the number of processes."""
    found: dict[str, float] = defaultdict(float)
    for process in processes_of(group):
        with suppress(psutil.Error):
            words = " ".join(process.cmdline())
            kind = (
                "driver's JVM"
                if "java" in process.name()
                else "driver's Python"
                if process.pid == group
                else "decoders"
                if "sparkdl.decoding.isolation.server" in words
                else "Python workers"
            )
            found[f"{kind}, MiB"] += process.memory_full_info().pss / _MIB
            found["processes"] += 1
    return found


def _slope(values: list[tuple[float, float]], first: float, last: float) -> str:
    """Return the mean after the warm-up and the slope of the line through the minutes."""
    minutes: dict[int, list[float]] = defaultdict(list)
    for minute, value in values:
        if first <= minute < last:
            minutes[int(minute)].append(value)
    if len(minutes) < 3:
        return f"{len(values)} values, too few minutes for a slope"
    x = np.array(sorted(minutes), float)
    y = np.array([np.mean(minutes[int(m)]) for m in x])
    if y.min() == y.max():
        return f"{y[0]:.4g} throughout"
    line = stats.linregress(x, y)
    margin = stats.t.ppf(0.975, len(x) - 2) * line.stderr
    return (
        f"mean {y.mean():.4g}, from {y.min():.4g} to {y.max():.4g}; slope {60 * line.slope:+.3g} an hour "
        f"(95% interval {60 * (line.slope - margin):+.3g} to {60 * (line.slope + margin):+.3g}), {len(x)} minutes"
    )


if __name__ == "__main__":
    sys.exit(main())
