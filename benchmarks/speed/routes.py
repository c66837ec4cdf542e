"""The measured routes of an image: a topic to a topic, and a directory to Parquet.

The measuring process shares the machine with the contender, so it waits instead of polling: Kafka answers a fetch as
soon as there is a message, and the directory of results is listed only after a change.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from sending import Route
from throughput import make_topic

PARTITIONS = 2
_FETCH = 500  # milliseconds that a fetch waits for a message, which also delays the end of the listener
_ACKNOWLEDGED = 30  # seconds within which the broker must acknowledge an image
_LOOK = 0.005  # seconds between two checks for changes of the directory of results
_SETTLED = 50_000_000  # nanoseconds after which another change of a directory has another time


class TopicRoute:
    """Images to the topic `source`, results from the topic `target`.

    The key of an image is its number. A result has that key, or `topic/partition/offset` of its image. A second result
    for an image does not count.

    Parameters
    ----------
    loop_back
        Whether the results are the images themselves, to measure the broker alone.
    """

    def __init__(self, broker: str, payloads: Sequence[bytes], *, loop_back: bool = False) -> None:
        from kafka import KafkaConsumer, KafkaProducer, TopicPartition

        self.source = make_topic(broker, PARTITIONS)
        self.target = self.source if loop_back else make_topic(broker, PARTITIONS)
        self._payloads = payloads
        self._places: dict[int, Any] = {}  # the producer's future for an image, by its number
        self._arrived: dict[bytes, float] = {}
        self._producer = KafkaProducer(bootstrap_servers=broker, acks="all", linger_ms=0)
        partitions = [TopicPartition(self.target, number) for number in range(PARTITIONS)]
        self._consumer = KafkaConsumer(
            bootstrap_servers=broker, enable_auto_commit=False, fetch_max_wait_ms=_FETCH, check_crcs=False
        )
        self._consumer.assign(partitions)
        self._consumer.seek_to_beginning(*partitions)
        self._over = threading.Event()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def send(self, number: int) -> None:
        payload = self._payloads[number % len(self._payloads)]
        key = str(number).encode()
        self._places[number] = self._producer.send(self.source, payload, key, partition=number % PARTITIONS)

    def count(self) -> int:
        return len(self._arrived)

    def arrivals(self, numbers: Sequence[int]) -> Mapping[int, float]:
        found = {}
        for number in numbers:
            place = self._places.pop(number).get(_ACKNOWLEDGED)
            by_place = f"{place.topic}/{place.partition}/{place.offset}".encode()
            at = self._arrived.get(str(number).encode(), self._arrived.get(by_place))
            if at is not None:
                found[number] = at
        return found

    def close(self) -> None:
        self._over.set()
        self._listener.join()
        self._consumer.close()
        self._producer.close(timeout=5)

    def _listen(self) -> None:
        while not self._over.is_set():
            polled = self._consumer.poll(_FETCH)
            now = time.monotonic()
            for records in polled.values():
                for record in records:
                    self._arrived.setdefault(record.key, now)


class DirectoryRoute:
    """Images as files to the directory `source`, results from the Parquet sink `target`."""

    def __init__(self, place: Path, payloads: Sequence[bytes]) -> None:
        self.source, self.target = place / "watched", place / "sink"
        self.source.mkdir()
        self._payloads = payloads
        self._arrived: dict[str, float] = {}
        self._over = threading.Event()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def send(self, number: int) -> None:
        partial = self.source / f".{number}"
        partial.write_bytes(self._payloads[number % len(self._payloads)])
        partial.rename(self.source / f"{number}.png")

    def count(self) -> int:
        return len(self._arrived)

    def arrivals(self, numbers: Sequence[int]) -> Mapping[int, float]:
        return {number: self._arrived[name] for number in numbers if (name := f"{number}.png") in self._arrived}

    def close(self) -> None:
        self._over.set()
        self._listener.join()

    def _listen(self) -> None:
        published, seen, changed = self.target / "predictions", set[Path](), 0
        while not self._over.wait(_LOOK):
            if not published.is_dir() or (latest := published.stat().st_mtime_ns) == changed:
                continue
            changed = latest if time.time_ns() - latest > _SETTLED else 0
            batches = set(published.glob("batch=*")) - seen
            now = time.monotonic()
            for file in (file for batch in batches for file in batch.glob("*.parquet")):
                names = pq.ParquetFile(file).read(["id"])["id"].to_pylist()
                self._arrived.update(dict.fromkeys(names, now))
            seen |= batches


@contextmanager
def opened(route: TopicRoute | DirectoryRoute) -> Iterator[Route]:
    """Yield a route and close it at the end of the block."""
    try:
        yield route
    finally:
        route.close()
