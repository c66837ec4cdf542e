"""Fault test: kills the scorers or the driver of a stream in real-time mode, and counts the results.

python benchmarks/faults/realtime.py [--what scorers|driver] [--kills N] [--rate N] [--seed N]

Messages are sent continuously, 3 in 100 of them broken. `scorers`: one stream keeps running, and from time to time one
of its scorers, or one time in five the process that starts them, is killed by SIGKILL. `driver`: all processes of the
stream are killed one to four seconds after the first result of each run, and it is restarted on the same checkpoint.
Exit code 0 if every message has a result; messages with two results are counted.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil
from harness import WORK, Trial, drawn_images, processes_of, trained_models, wait_until
from kafka import KafkaConsumer, KafkaProducer

from streaming.kafka.address import KafkaAddress
from streaming.kafka.admin import AdminSession
from streaming.kafka.client_config import ClientConfig
from streaming.kafka.local.broker import Broker
from streaming.kafka.messages import DEAD_LETTERS_SUFFIX

_PATIENCE = 120.0  # seconds for results after the last message, and for the first after a start
_BETWEEN = (0.5, 2.0)  # seconds between two kills of scorers
_AFTER_FIRST = (1.0, 4.0)  # seconds from the first result of a driver to its end


class RealtimeTrial(Trial):
    """A stream in real-time mode from one topic to another of a broker."""

    target: str

    def command(self, *arguments: str, master: str = "") -> list[str]:
        places = ["--source", self.source, "--sink", self.target, "--checkpoint", str(self.checkpoint)]
        settings = ["--model", str(self.models), "--trigger", "realtime"]
        return [sys.executable, "-m", "console.main", "stream", *places, *settings, *arguments]


class Traffic:
    """Sends messages at a rate in the background, and counts results by their ids."""

    def __init__(self, servers: str, source: str, target: str, rate: float) -> None:
        self._servers, self._source, self._target, self._rate = servers, source, target, rate
        self._payloads = [image.read() for image in drawn_images(1000)]
        self._over, self._quiet = threading.Event(), threading.Event()
        self.sent = 0
        self.results: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._send, self._listen)]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._quiet.set()
        self._over.set()
        for thread in self._threads:
            thread.join()

    def end(self) -> None:
        """Stop sending."""
        self._quiet.set()
        self._threads[0].join()

    def _send(self) -> None:
        producer = KafkaProducer(bootstrap_servers=self._servers, acks="all", linger_ms=0)
        while not self._quiet.wait(1 / self._rate):
            payload = self._payloads[self.sent % len(self._payloads)]
            producer.send(self._source, payload, partition=self.sent % 2).get(30)
            self.sent += 1
        producer.close()

    def _listen(self) -> None:
        topics = (self._target, self._target + DEAD_LETTERS_SUFFIX)
        consumer = KafkaConsumer(*topics, bootstrap_servers=self._servers, auto_offset_reset="earliest")
        while not self._over.is_set():
            for records in consumer.poll(100).values():
                for record in records:
                    self.results[record.key.decode()] += 1
                    self.reasons[dict(record.headers).get("reason", b"").decode()] += 1
        consumer.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", choices=("scorers", "driver"), default="scorers")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rate", type=float, default=20.0, help="messages per second")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    chance = random.Random(chosen.seed)
    with _opened(chosen.what) as (trial, traffic_of), traffic_of(chosen.rate) as traffic:
        kill = _kill_scorers if chosen.what == "scorers" else _kill_drivers
        killed = kill(trial, traffic, chosen.kills, chance)
    missing = traffic.sent - len(traffic.results)
    facts = {
        "sent": traffic.sent,
        "missing": missing,
        "repeated": traffic.results.total() - len(traffic.results),
        "model_error": traffic.reasons["model_error"],
        **killed,
    }
    print(f"realtime-{chosen.what}: {'BROKEN' if missing else 'kept'} {json.dumps(facts)}", flush=True)
    return 1 if missing else 0


@contextmanager
def _opened(what: str) -> Iterator[tuple[RealtimeTrial, Callable[[float], Traffic]]]:
    models = trained_models()
    with Broker(WORK / f"realtime-{what}-broker").running(port=0) as servers:
        source, target = (f"{name}-{time.time_ns()}" for name in ("images", "results"))
        with AdminSession(KafkaAddress(servers, source), ClientConfig()) as session:
            session.client.create_topics({source: {"num_partitions": 2}}, wait_for_metadata=True)
            for topic in (target, target + DEAD_LETTERS_SUFFIX):
                session.ensure_topic(topic, {})
        trial = RealtimeTrial(WORK / f"realtime-{what}", models, source=f"kafka://{servers}/{source}")
        trial.target = f"kafka://{servers}/{target}"
        yield trial, lambda rate: Traffic(servers, source, target, rate)


def _kill_scorers(trial: Trial, traffic: Traffic, kills: int, chance: random.Random) -> Counter[str]:
    killed: Counter[str] = Counter()
    with trial.stream() as process:
        wait_until(lambda: bool(traffic.results) or process.poll() is not None, _PATIENCE)
        while killed.total() < kills and process.poll() is None:
            time.sleep(chance.uniform(*_BETWEEN))
            kind = "supervisor" if chance.random() < 0.2 else "scorer"
            found = [other for other in processes_of(process.pid) if _kind(other) == kind]
            if found:
                with suppress(psutil.Error):
                    chance.choice(found).kill()
                    killed[kind] += 1
        _finish(trial, traffic, process.poll)
    return killed


def _kill_drivers(trial: Trial, traffic: Traffic, kills: int, chance: random.Random) -> Counter[str]:
    for _ in range(kills):
        with trial.stream() as process:
            before = traffic.results.total()
            wait_until(lambda: traffic.results.total() > before or process.poll() is not None, _PATIENCE)  # noqa: B023
            time.sleep(chance.uniform(*_AFTER_FIRST))
    with trial.stream() as process:
        _finish(trial, traffic, process.poll)
    return Counter(driver=kills)


def _finish(trial: Trial, traffic: Traffic, ended) -> None:  # type: ignore[no-untyped-def]
    traffic.end()
    with suppress(TimeoutError):
        wait_until(lambda: len(traffic.results) >= traffic.sent or ended() is not None, _PATIENCE)
    if ended() is not None:
        print(trial.tail(), file=sys.stderr)


def _kind(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        if "streaming.realtime.scorer" in process.cmdline():
            parent = process.parent()
            return "supervisor" if parent is not None and "java" in parent.name() else "scorer"
    return ""


if __name__ == "__main__":
    sys.exit(main())
