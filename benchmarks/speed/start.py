"""Seconds from the command to the first row, to its help and to the answer to an invalid request."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from bench import Bench, batches, environment, running, sparkdl, spread, stream
from throughput import BROKER, fill, make_topic, to_stream

_PATIENCE = 120
STEPS = (
    "Python, until it starts Java",
    "Java and Spark, until the query is started",
    "planning, the first micro-batch and its writing",
)

WRONG_REQUESTS = (
    "train --data samples:2 --recipe digit",
    "evaluate --model nowhere --data samples:2",
    "predict nowhere.png",
    "stream --source . --sink out --checkpoint progress --trigger soon",
    "stream --source nowhere --sink out --checkpoint progress",
    "produce --data nowhere --to out",
    "predictions nowhere",
    "models list --models nowhere",
)
"""Invalid requests, which end with exit code 2 in an empty directory."""


def start(bench: Bench, rounds: int, images: int, warm_up: int, say: Callable[[str], None]) -> dict[str, Any]:
    from streaming.kafka.local.broker import Broker

    registry, watched = bench.model(), bench.images(24)
    found: dict[str, list[float]] = {}

    steps: dict[str, list[float]] = {}

    def note(name: str, seconds: float) -> None:
        found.setdefault(name, []).append(seconds)
        say(f"  {name}: {seconds:.2f} s")

    def files(cold: bool) -> float:
        seconds, took = _files(bench, watched, registry)
        for step in took if not cold else ():
            steps.setdefault(step, []).append(took[step])
        return seconds

    with Broker(BROKER).running(port=0) as broker:
        topic = fill(broker, watched)
        for number in range(rounds):
            measures: list[tuple[str, Callable[[], float]]]
            for cold in (False, True) if number == 0 and _forget() else (False,):
                what = "cold" if cold else "warm"
                measures = [
                    (f"directory to Parquet, stream, {what}", partial(files, cold)),
                    (
                        f"directory to Parquet, stream without the archive of classes, {what}",
                        lambda: _files(bench, watched, registry, archive=False)[0],
                    ),
                    (f"directory to Parquet, an empty Spark stream, {what}", lambda: _files(bench, watched, None)[0]),
                    (f"Kafka to Kafka, stream, {what}", lambda: _topic(bench, broker, topic, registry)),
                    (f"Kafka to Kafka, an empty Spark stream, {what}", lambda: _topic(bench, broker, topic, None)),
                ]
                for name, measure in measures:
                    if cold:
                        _forget()
                    note(name, measure())
    for _ in range(3 * rounds):
        began = time.monotonic()
        subprocess.run(sparkdl("--help"), env=environment(), stdout=subprocess.DEVNULL, check=True)
        note("sparkdl --help", time.monotonic() - began)
        for request in WRONG_REQUESTS:
            note(f"wrong request: sparkdl {request}", _refusal(bench, request))
    warming = [_second_over_fourth(bench, registry) for _ in range(rounds)]
    say(f"  second micro-batch over the fourth: {warming}")
    return {name: spread(values) for name, values in found.items()} | {
        "warming": {"ratio": spread(warming)},
        "steps": {name: spread(values) for name, values in steps.items()},
    }


def _refusal(bench: Bench, request: str) -> float:
    """Return the seconds until an invalid request is answered."""
    place = bench.place()
    began = time.monotonic()
    done = subprocess.run(
        sparkdl(*request.split()), env=environment(), cwd=place, capture_output=True, text=True, check=False
    )
    seconds = time.monotonic() - began
    if done.returncode != 2:
        sys.exit(f"sparkdl {request}: expected exit code 2, received {done.returncode}: {done.stderr[-2000:]}")
    return seconds


def _second_over_fourth(bench: Bench, registry: Path) -> float:
    """Return the speed of a stream's second micro-batch over that of its fourth, of 2,048 images each."""
    place = bench.place()
    command = to_stream(registry, str(bench.images(4 * 2048)), f"parquet:{place / 'sink'}", place)
    stream([*command, "--max-images-per-trigger", "2048"], place, 2048)
    at = [second for second, _ in batches(place / "log")]
    return (at[3] - at[2]) / (at[1] - at[0])


def _forget() -> bool:
    """Empty the system's file cache, if permitted."""
    with suppress(OSError):
        subprocess.run(["sync"], check=True)
        Path("/proc/sys/vm/drop_caches").write_text("3")
        return True
    return False


def _files(
    bench: Bench, watched: Path, registry: Path | None, *, archive: bool = True
) -> tuple[float, dict[str, float]]:
    """Return the seconds to the first row, and the seconds of each step."""
    place = bench.place()
    sink, checkpoint = place / "sink", str(place / "checkpoint")
    if registry is not None:
        command = sparkdl("stream", "--source", str(watched), "--sink", f"parquet:{sink}", "--model", str(registry),
                          "--checkpoint", checkpoint)  # fmt: skip
        if not archive:
            command = ["env", f"SPARKDL_CACHE_DIR={place}", *command]
        pattern = "predictions/batch=*/*.parquet"
    else:
        command = [*bench.contender("plain_files.py"), str(watched), str(sink), checkpoint]
        pattern = "_spark_metadata/0"
    steps: dict[str, float] = {}
    seconds = _until(
        command, place, lambda: any(sink.glob(pattern)), lambda pid: steps.update(_steps(pid, place / "log"))
    )
    return seconds, steps


def _steps(pid: int, log: Path) -> dict[str, float]:
    """Return the duration of each step until a stream's first row, from the start times of its processes."""
    stream = psutil.Process(pid)
    java = None
    for process in stream.children(recursive=True):
        with suppress(psutil.Error):
            if process.name() == "java":
                java = min(process.create_time(), java or math.inf)
    events = (json.loads(line) for line in log.read_text().splitlines() if line.startswith("{"))
    started = next((event["timestamp"] for event in events if event["event"] == "stream started"), None)
    if started is None or java is None:
        return {}
    marks = [stream.create_time(), java, datetime.fromisoformat(started).timestamp(), time.time()]
    return {step: after - before for step, before, after in zip(STEPS, marks, marks[1:], strict=False)}


def _topic(bench: Bench, broker: str, source: str, registry: Path | None) -> float:
    from kafka import KafkaConsumer, TopicPartition

    place = bench.place()
    target, checkpoint = make_topic(broker, 1), str(place / "checkpoint")
    if registry is not None:
        command = sparkdl("stream", "--source", f"kafka://{broker}/{source}", "--sink", f"kafka://{broker}/{target}",
                          "--model", str(registry), "--checkpoint", checkpoint)  # fmt: skip
    else:
        command = [*bench.contender("plain_stream.py"), broker, source, target, checkpoint]
    partition = TopicPartition(target, 0)
    consumer = KafkaConsumer(bootstrap_servers=broker)
    try:
        return _until(command, place, lambda: consumer.end_offsets([partition])[partition] > 0)
    finally:
        consumer.close()


def _until(
    command: list[str], place: Path, there: Callable[[], bool], then: Callable[[int], None] = lambda pid: None
) -> float:
    """Return the seconds until `there` is true; `then` receives the command's process while it still runs."""
    began = time.monotonic()
    with running(command, place) as (process, _):
        while not there():
            if process.poll() is not None or time.monotonic() - began > _PATIENCE:
                sys.exit(f"{' '.join(command)} gave nothing: {(place / 'log').read_text()[-2000:]}")
            time.sleep(0.02)
        seconds = time.monotonic() - began
        then(process.pid)
        return seconds
