"""Routes of images in the demo: directories, or the topics of a Kafka broker."""

from __future__ import annotations

import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streaming.readers.base import Reader
    from training.data.loading import Dataset

_IMAGES, _PREDICTIONS = "images", "predictions"  # topics


class Route(ABC):
    """Source and sink of the demo's stream, with their producer and reader."""

    settings: dict[str, Any]
    """The settings of the stream that depend on the route."""

    @abstractmethod
    def produce(self, images: Dataset, rate: float, seed: int) -> int:
        """Send broken images and `images` in random order, and return their number."""

    @abstractmethod
    def reader(self) -> Reader:
        """Return a reader of the sink."""

    @abstractmethod
    def places(self) -> dict[str, str]:
        """Return the names and paths of the results."""


class DirectoryRoute(Route):
    """Files in a watched directory to a Parquet sink."""

    def __init__(self, directory: Path) -> None:
        self._watched, self._sink = directory / "watched", directory / "sink"
        self._watched.mkdir()
        self.settings = {"source": str(self._watched), "sink": f"parquet:{self._sink}", "label_from": "parent"}
        self.settings["stable_after"] = "0s"  # every file is renamed to its name when it is complete, a broken one too

    def produce(self, images: Dataset, rate: float, seed: int) -> int:
        from producer.replay import replay_to_directory, sequence
        from sparkdl.system.files import write_atomically

        bad = broken(images)
        folder = self._watched / "broken"
        folder.mkdir()
        for name, content in bad.items():
            write_atomically(folder / name, content)
        mixed = sequence(images, shuffle=True, seed=seed)
        return len(bad) + replay_to_directory(mixed, self._watched, rate=rate, label_folders=True)

    def reader(self) -> Reader:
        from streaming.readers.parquet import ParquetReader

        return ParquetReader(str(self._sink))

    def places(self) -> dict[str, str]:
        return {"predictions": str(self._sink / "predictions"), "dead letters": str(self._sink / "dead_letters")}


class KafkaRoute(Route):
    """From one topic to another, on a broker that runs during the demo."""

    def __init__(self, servers: str) -> None:
        from streaming.kafka.address import KafkaAddress
        from streaming.kafka.admin import BROKER_TIME, AdminSession
        from streaming.kafka.client_config import ClientConfig

        self._config = ClientConfig()
        self._images = KafkaAddress(servers, _IMAGES)
        self._predictions = KafkaAddress(servers, _PREDICTIONS)
        with AdminSession(self._images, self._config) as session:
            session.ensure_topic(_IMAGES, BROKER_TIME)
        self.settings = {"source": str(self._images), "sink": str(self._predictions)}

    def produce(self, images: Dataset, rate: float, seed: int) -> int:
        from producer.replay import sequence
        from producer.topic import replay_to_topic
        from sparkdl.errors import SparkdlError
        from training.data.loading import Dataset, LabelledImage

        bad = tuple(LabelledImage(name, "", payload=content) for name, content in broken(images).items())
        everything = Dataset(images.address, (*images.images, *bad))
        delivery = replay_to_topic(sequence(everything, shuffle=True, seed=seed), self._images, self._config, rate=rate)
        if delivery.acknowledged < len(everything):
            raise SparkdlError(f"the broker took {delivery.acknowledged} of {len(everything)} images: {delivery.why}")
        return delivery.acknowledged

    def reader(self) -> Reader:
        from streaming.readers.kafka import KafkaReader

        return KafkaReader(self._predictions, self._config)

    def places(self) -> dict[str, str]:
        return {}


@contextmanager
def open_route(directory: Path, *, kafka: bool) -> Iterator[Route]:
    """Yield the route of a demo in `directory`; with `kafka`, its broker runs as long as the block."""
    if not kafka:
        yield DirectoryRoute(directory)
        return
    from streaming.kafka.local.broker import Broker

    with Broker(directory / "broker").running(port=0) as servers:
        yield KafkaRoute(servers)


def broken(images: Dataset) -> dict[str, bytes]:
    """Return broken files, one of each kind, by name."""
    whole = images.images[0].read()
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    return {
        "empty.png": b"",
        "cut-short.png": whole[: len(whole) // 2],
        "one-byte-changed.png": whole[:-20] + bytes([whole[-20] ^ 0xFF]) + whole[-19:],
        "a-letter.txt": "প্রিয় বন্ধু, this is no image.".encode(),
        "60000-by-60000.png": b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk)),
    }
