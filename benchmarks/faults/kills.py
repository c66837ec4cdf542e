"""Fault test: kills streams, or their Python workers, at random moments, and counts the results.

python benchmarks/faults/kills.py [--what driver|workers] [--source directory|kafka] [--sink parquet|delta]
                                  [--kills N] [--images N] [--seed N]

`driver`: each run of `sparkdl stream` ends by SIGKILL to all its processes, one in four during the start, the others up
to three seconds after the first micro-batch of the run; then it is restarted on the same checkpoint. `workers`: one
stream keeps running, and up to a second after each of its micro-batches one of its Python processes is killed: a
worker, a decoder, the process that plans the micro-batches, or a daemon that starts them. Images arrive continuously,
3 in 100 of them broken.
At the end the stream runs until nothing is left. Exit code 0 if every image is in the sink exactly once.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count

import psutil
from harness import (
    WORK,
    Expected,
    SinkKind,
    Trial,
    drawn_images,
    drop,
    faults,
    lives,
    processes_of,
    trained_models,
    verdict,
)

from training.data.loading import LabelledImage

_AFTER_FIRST_BATCH = 3.0  # seconds
_STARTING = 0.25  # share of the kills during the start
_PATIENCE = 60.0  # seconds for a micro-batch after a kill
_FLAGS = ("--trigger", "0s", "--max-images-per-trigger", "20", "--stable-after", "0s")

Feed = Callable[[Sequence[LabelledImage]], Expected]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", choices=("driver", "workers"), default="driver")
    parser.add_argument("--source", choices=("directory", "kafka"), default="directory")
    parser.add_argument("--sink", choices=tuple(SinkKind), default=SinkKind.PARQUET)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    chance = random.Random(chosen.seed)
    title = f"kills-{chosen.what}-{chosen.source}-{chosen.sink}"
    models = trained_models()
    images = drawn_images(chosen.images, seed=chosen.seed)
    chance.shuffle(images)
    share = -(-len(images) // chosen.kills)
    portions = [images[start : start + share] for start in range(0, len(images), share)]
    with _opened(chosen.source, title, models, SinkKind(chosen.sink)) as (trial, feed):
        kill = _kill_drivers if chosen.what == "driver" else _kill_workers
        started = time.monotonic()
        expected, facts = kill(trial, feed, portions, chosen.kills, chance)
        code = trial.run(*_FLAGS, "--available-now")
        facts |= {"last exit code": code, "seconds": round(time.monotonic() - started)}
        return verdict(title, trial, expected, facts) or code


@contextmanager
def _opened(source: str, title: str, models, kind: SinkKind) -> Iterator[tuple[Trial, Feed]]:  # type: ignore[no-untyped-def]
    """Open a trial and the feed of its images."""
    if source == "directory":
        trial = Trial(WORK / title, models, kind)
        yield trial, lambda images: drop(images, trial.watched)
        return
    from producer.topic import replay_to_topic
    from streaming.kafka.address import KafkaAddress
    from streaming.kafka.admin import AdminSession
    from streaming.kafka.client_config import ClientConfig
    from streaming.kafka.local.broker import Broker

    with Broker(WORK / f"{title}-broker").running(port=0) as servers:
        address, config = KafkaAddress(servers, f"images-{time.time_ns()}"), ClientConfig()
        with AdminSession(address, config) as session:
            session.ensure_topic(address.topic, {})
        places = count()  # one partition: messages are numbered in the order of sending

        def feed(images: Sequence[LabelledImage]) -> Expected:
            delivery = replay_to_topic(((image, number) for number, image in enumerate(images)), address, config)
            assert delivery.acknowledged == len(images), delivery.why
            ids = {f"{address.topic}/0/{next(places)}": image for image in images}
            bad = frozenset(name for name, image in ids.items() if image.label == "broken")
            return Expected(frozenset(ids) - bad, bad)

        yield Trial(WORK / title, models, kind, source=str(address)), feed


def _together(parts: Sequence[Expected]) -> Expected:
    return Expected(
        frozenset().union(*(part.predictions for part in parts)),
        frozenset().union(*(part.dead_letters for part in parts)),
    )


def _kill_drivers(
    trial: Trial, feed: Feed, portions: Sequence[Sequence[LabelledImage]], kills: int, chance: random.Random
) -> tuple[Expected, dict[str, object]]:
    fed: list[Expected] = []
    moments: Counter[str] = Counter()
    start_seconds = 8.0
    for number in range(kills):
        if number < len(portions):
            fed.append(feed(portions[number]))
        told, started = trial.batches(), time.monotonic()
        with trial.stream(*_FLAGS) as process:
            if chance.random() < _STARTING:
                _sleep_until(started + chance.uniform(0, start_seconds), process)
            else:
                while trial.batches() == told and process.poll() is None and time.monotonic() < started + 90:
                    time.sleep(0.02)
                start_seconds = time.monotonic() - started
                _sleep_until(time.monotonic() + chance.uniform(0, _AFTER_FIRST_BATCH), process)
            if process.poll() is not None:
                print(trial.tail(), file=sys.stderr)
                raise SystemExit(f"the stream ended by itself with exit code {process.returncode}")
        # Killed here, by the end of the block.
        moments["while starting" if trial.batches() == told else "while running"] += 1
        for path in (trial.sink / "_staging").glob("*"):
            moments[f"left {'committed' if path.name.startswith('ready=') else 'half staged'}"] += 1
        if faults(trial, _together(fed), complete=False):
            verdict(f"after kill {number + 1}", trial, _together(fed), moments)
            raise SystemExit(1)
        if (number + 1) % 10 == 0:
            print(
                f"{number + 1} kills, {sum(len(trial.ids(p)) for p in ('predictions', 'dead_letters'))} rows",
                flush=True,
            )
    fed += [feed(portion) for portion in portions[kills:]]
    return _together(fed), {"kills": kills, **moments}


def _sleep_until(moment: float, process) -> None:  # type: ignore[no-untyped-def]
    while time.monotonic() < moment and process.poll() is None:
        time.sleep(0.005)


def _kill_workers(
    trial: Trial, feed: Feed, portions: Sequence[Sequence[LabelledImage]], kills: int, chance: random.Random
) -> tuple[Expected, dict[str, object]]:
    fed: list[Expected] = []
    killed: Counter[str] = Counter()
    known: set[psutil.Process] = set()
    with trial.stream(*_FLAGS, "--retries", "20") as process:
        while trial.batches() == 0 and process.poll() is None:
            if not fed:
                fed.append(feed(portions[0]))
            time.sleep(0.05)
        while killed.total() < kills:
            if len(fed) < len(portions):
                fed.append(feed(portions[len(fed)]))
            told, waited = trial.batches(), time.monotonic()
            while trial.batches() == told and process.poll() is None and time.monotonic() < waited + _PATIENCE:
                time.sleep(0.02)
            time.sleep(chance.uniform(0, 1))
            if process.poll() is not None:
                print(trial.tail(), file=sys.stderr)
                raise SystemExit(f"the stream ended by itself with exit code {process.returncode}")
            known = {*processes_of(process.pid), *_alive_of(known)}
            by_kind = defaultdict(list)
            for other in known:
                if kind := _kind(other, process.pid):
                    by_kind[kind].append(other)
            if not by_kind:  # Spark is starting them again
                continue
            kind = chance.choice(sorted(by_kind))
            with suppress(psutil.Error):
                chance.choice(by_kind[kind]).send_signal(signal.SIGKILL)
                killed[kind] += 1
        fed += [feed(portion) for portion in portions[len(fed) :]]
        process.terminate()
        process.wait(120)
        code = process.returncode
    failures = trial.log.read_bytes().count(b'"event": "stream failed"')
    lost = trial.log.read_bytes().count(b"Lost task")
    return _together(fed), {
        "kills": kills,
        **killed,
        "tasks lost": lost,
        "streams started again": failures,
        "exit code": code,
    }


def _alive_of(known: set[psutil.Process]) -> Iterator[psutil.Process]:
    """Yield running processes and their children: Spark continues to use workers whose daemon was killed."""
    for process in filter(lives, known):
        yield process
        with suppress(psutil.Error):
            yield from process.children(recursive=True)


def _kind(process: psutil.Process, driver: int) -> str:
    """Return the kind of a Python process of the stream; empty for other processes and for the driver."""
    with suppress(psutil.Error):
        words = " ".join(process.cmdline())
        if process.pid == driver or "java" in process.name():
            return ""
        if "sparkdl.decoding.isolation.server" in words:
            return "decoder"
        if "pyspark.daemon" in words or "sparkdl.spark.worker_daemon" in words:
            parent = process.parent()
            return "daemon" if parent is not None and "java" in parent.name() else "worker"
        if "pyspark" in words:
            return "planner"
    return ""


if __name__ == "__main__":
    sys.exit(main())
