"""Seconds from an image that appears to a row that can be read: at 1, 10 and 50 images a second."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from bench import Bench, running, sparkdl
from throughput import BROKER, make_topic

RATES = (1, 10, 50)
_SECONDS = 60  # that images are sent for, after the warm-up
_WARM_UP = 20
_PATIENCE = 120

Times = dict[str, float]
"""Seconds on the monotonic clock, by the name of an image."""


def latency(bench: Bench, rounds: int, images: int, warm_up: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Topic to topic, with the model and without one, and directory to Parquet."""
    from streaming.kafka.local.broker import Broker

    registry = bench.model()
    payloads = bench.sources()
    found: dict[str, Any] = {}
    with Broker(BROKER).running(port=0) as broker:
        for rate in RATES if rounds > 1 else (10,):
            for name in ("stream", "without a model", *(["Spark's defaults, without a model"] if rate == 10 else [])):
                times = topic_to_topic(bench, broker, name, registry, payloads, rate)
                found[f"Kafka to Kafka, {name}, {rate} a second"] = quantiles(times)
                say(f"  Kafka to Kafka, {name}, {rate} a second: {quantiles(times)}")
            times = _directory_to_parquet(bench, registry, payloads, rate)
            found[f"directory to Parquet, stream, {rate} a second"] = quantiles(times)
            say(f"  directory to Parquet, {rate} a second: {quantiles(times)}")
    return found


def quantiles(seconds: list[float]) -> dict[str, float]:
    """Quantiles of latencies in seconds, and how many there are."""
    return {f"p{q}": round(float(np.quantile(seconds, q / 100)), 3) for q in (50, 95, 99)} | {"images": len(seconds)}


def topic_to_topic(
    bench: Bench,
    broker: str,
    name: str,
    registry: Path,
    payloads: list[bytes],
    rate: float,
    more: Sequence[str] = (),
) -> list[float]:
    """Seconds from sending to arrival, of each image after the warm-up; `more` are arguments of `sparkdl stream`."""
    from kafka import KafkaConsumer, KafkaProducer

    source, target = make_topic(broker, 2), make_topic(broker, 2)
    place = bench.place()
    if name == "stream":
        command = sparkdl(
            "stream", "--source", f"kafka://{broker}/{source}", "--sink", f"kafka://{broker}/{target}", "--model",
            str(registry), "--checkpoint", str(place / "checkpoint"), "--trigger", "0s", *more,
        )  # fmt: skip
    else:
        command = [*bench.contender("plain_stream.py"), broker, source, target, str(place / "checkpoint")]
        command += ["--ours"] if name == "without a model" else []
    arrived: list[float] = []
    over = threading.Event()

    def listen() -> None:
        consumer = KafkaConsumer(target, bootstrap_servers=broker, auto_offset_reset="earliest", fetch_max_wait_ms=10)
        while not over.is_set():
            for records in consumer.poll(20).values():
                arrived.extend([time.monotonic()] * len(records))
        consumer.close()

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    producer = KafkaProducer(bootstrap_servers=broker, acks="all", linger_ms=0)

    def send(number: int) -> None:
        producer.send(source, payloads[number % len(payloads)], str(number).encode(), partition=number % 2)

    try:
        with running(command, place):
            sent = _paced(send, lambda: len(arrived), rate)
    finally:
        over.set()
        listener.join()
        producer.close()
    # In order of arrival, which is that of sending but for neighbours on two partitions.
    warm = round(rate * _WARM_UP) + 1
    return [there - here for here, there in zip(sent[warm:], arrived[warm:], strict=True)]


def _directory_to_parquet(bench: Bench, registry: Path, payloads: list[bytes], rate: float) -> list[float]:
    place = bench.place()
    watched, sink = place / "watched", place / "sink"
    watched.mkdir()
    command = sparkdl(
        "stream", "--source", str(watched), "--sink", f"parquet:{sink}", "--model", str(registry), "--checkpoint",
        str(place / "checkpoint"), "--trigger", "0s",
    )  # fmt: skip
    seen: set[Path] = set()
    arrived: Times = {}

    def send(number: int) -> None:
        partial = watched / f".{number}"
        partial.write_bytes(payloads[number % len(payloads)])
        partial.rename(watched / f"{number}.png")

    def look() -> int:
        for batch in set(sink.glob("predictions/batch=*")) - seen:
            now = time.monotonic()
            seen.add(batch)
            for file in batch.glob("*.parquet"):
                for name in pq.ParquetFile(file).read(["id"])["id"].to_pylist():
                    arrived[name] = now
        return len(arrived)

    with running(command, place):
        sent = _paced(send, look, rate)
    return [arrived[f"{n}.png"] - at for n, at in enumerate(sent)][round(rate * _WARM_UP) + 1 :]


def _paced(send: Callable[[int], None], arrived: Callable[[], int], rate: float) -> list[float]:
    """Sends one image and waits for it, then `rate` a second; when each was sent. Returns when all have arrived."""
    sent = [time.monotonic()]
    send(0)
    deadline = time.monotonic() + _PATIENCE
    while not arrived():
        _check(deadline)
        time.sleep(0.02)
    began = time.monotonic()
    for number in range(1, round(rate * (_WARM_UP + _SECONDS)) + 1):
        while (left := began + number / rate - time.monotonic()) > 0:
            arrived()
            time.sleep(min(left, 0.01))
        sent.append(time.monotonic())
        send(number)
    deadline = time.monotonic() + _PATIENCE
    while arrived() < len(sent):
        _check(deadline)
        time.sleep(0.01)
    return sent


def _check(deadline: float) -> None:
    if time.monotonic() > deadline:
        sys.exit(f"nothing arrived for {_PATIENCE} s")
