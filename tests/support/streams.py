"""What the tests of streams share: encoded images, good and broken, as files and as rows, and how to wait for them."""

from __future__ import annotations

import io
import itertools
import random
import struct
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from pyspark.sql import DataFrame, SparkSession

from producer.replay import replay_to_directory, sequence
from sparkdl.images.rejection import Reason
from sparkdl.models.registry import Registry
from streaming.failures import Failure
from streaming.job import StreamJob
from streaming.monitoring.observer import Batch, Observer
from streaming.plan import prepare
from streaming.schemas import INPUT_RECORD
from streaming.settings import StreamSettings
from training.data.loading import Dataset, LabelledImage
from training.data.synthetic.digits import draw_png

MAX_BYTES = 100_000
"""A limit that every drawn digit keeps and `BROKEN` has images above."""


class Broken(NamedTuple):
    reason: Reason
    payload: bytes


def encode(image_format: str) -> bytes:
    """A drawn digit in another format."""
    target = io.BytesIO()
    with Image.open(io.BytesIO(draw_png(3, seed=1))) as image:
        image.convert("RGB").save(target, image_format)
    return target.getvalue()


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG made by hand: its header, and the chunks given, with right checksums."""
    header = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (header, *chunks)
    )


def flipped(payload: bytes, position: int) -> bytes:
    """`payload` with one byte inverted."""
    return payload[:position] + bytes([payload[position] ^ 0xFF]) + payload[position + 1 :]


_noise = random.Random(7)
_whole = encode("PNG")
BROKEN: dict[str, Broken] = {
    "nothing.png": Broken(Reason.EMPTY, b""),
    "nothing.jpg": Broken(Reason.EMPTY, b""),
    **{
        f"cut.{image_format.lower()}": Broken(Reason.TRUNCATED, (whole := encode(image_format))[: len(whole) // 2])
        for image_format in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")
    },
    "flipped.png": Broken(Reason.CORRUPT, flipped(_whole, len(_whole) // 2)),
    "no-pixels.png": Broken(Reason.CORRUPT, png(8, 8, (b"IEND", b""))),
    "short-rows.png": Broken(Reason.CORRUPT, png(8, 8, (b"IDAT", zlib.compress(b"\0" * 9)), (b"IEND", b""))),
    "notes.txt": Broken(Reason.UNSUPPORTED_FORMAT, "not an image, but words: শূন্য".encode()),
    "page.png": Broken(Reason.UNSUPPORTED_FORMAT, b"<!doctype html><title>404</title>"),
    "paper.pdf": Broken(Reason.UNSUPPORTED_FORMAT, b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"),
    "noise.png": Broken(Reason.UNSUPPORTED_FORMAT, b"\0" + _noise.randbytes(5000)),
    "bomb.png": Broken(Reason.TOO_MANY_PIXELS, png(100_000, 100_000, (b"IDAT", b"x"), (b"IEND", b""))),
    "bomb.gif": Broken(Reason.TOO_MANY_PIXELS, b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0)),
    "long.png": Broken(Reason.TOO_MANY_BYTES, _whole + b"\0" * MAX_BYTES),
    "long.bin": Broken(Reason.TOO_MANY_BYTES, _noise.randbytes(MAX_BYTES + 1)),
    "zeros.jpg": Broken(Reason.TOO_MANY_BYTES, bytes(3 * MAX_BYTES)),
}
"""20 images of every kind that no decoder accepts, each with its reason for rejection."""


def encoded_rows(spark: SparkSession, images: Iterable[tuple[str, bytes | None, str | None]]) -> DataFrame:
    """Rows of the contract `INPUT_RECORD` from (id, payload, label)."""
    at = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
    rows = [
        (name, f"file:/images/{name}", payload, None if payload is None else len(payload), label, at)
        for name, payload, label in images
    ]
    return spark.createDataFrame(rows, INPUT_RECORD)


def rows_of(sink: Path, part: str = "predictions") -> list[dict[str, Any]]:
    """The rows that a Parquet sink shows to any reader, in the order of their ids."""
    tables = [pq.ParquetFile(path).read() for path in sorted((sink / part).glob("batch=*/*.parquet"))]
    return sorted(pa.concat_tables(tables).to_pylist(), key=lambda row: row["id"]) if tables else []


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Returns as soon as `condition` holds; fails if it does not in `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"the condition is still false after {seconds} s"
        time.sleep(0.02)


def digits(drawn: Dataset, count: int) -> list[LabelledImage]:
    """`count` drawn digits under unique names."""
    taken = itertools.islice(itertools.cycle(drawn.images), count)
    return [LabelledImage(f"{n:04d}.png", image.label, payload=image.read()) for n, image in enumerate(taken)]


def drop(images: Iterable[LabelledImage], directory: Path, rate: float | None = None) -> None:
    """Puts `images` into `directory` as the producer does, in label folders, in a mixed order."""
    mixed = sequence(Dataset("", tuple(images)), shuffle=True, seed=3)
    replay_to_directory(mixed, directory, rate=rate, label_folders=True)


def id_of(image: LabelledImage) -> str:
    return f"{image.label}/{image.name}"


@dataclass
class Place(Observer):
    """The directories that a stream of a test reads and writes, and its log."""

    root: Path
    registry: Registry
    batches: list[Batch] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    refusals: list[tuple[str, str]] = field(default_factory=list)

    def started(self, source: str, sink: str, checkpoint: Path, model: str) -> None:
        self.models.append(model)

    def batch(self, batch: Batch) -> None:
        self.batches.append(batch)

    def failed(self, failure: Failure, retry: int, wait: float) -> None:
        self.failures.append(failure)

    def model_changed(self, old: str, new: str) -> None:
        assert self.models[-1] == old
        self.models.append(new)

    def model_refused(self, name: str, reason: str) -> None:
        self.refusals.append((name, reason))

    @property
    def watched(self) -> Path:
        return self.root / "watched"

    @property
    def sink(self) -> Path:
        return self.root / "sink"

    @property
    def checkpoint(self) -> Path:
        return self.root / "checkpoint"

    @property
    def images(self) -> int:
        """Return the number of logged images."""
        return sum(batch.images for batch in self.batches)

    def job(self, spark: SparkSession, observers: tuple[Observer, ...] = (), **given: Any) -> StreamJob:
        """A stream that is started and whose batches are counted."""
        job = StreamJob(spark, prepare(self.settings(**given)), self, *observers)
        job.start()
        return job

    def settings(self, **given: Any) -> StreamSettings:
        """Those of a stream here, with no waiting."""
        arguments = {
            "source": str(self.watched),
            "model": str(self.registry.path),
            "sink": str(self.sink),
            "checkpoint": self.checkpoint,
            "trigger": 0,
            "retries": 0,
            "stable_after": "100ms",
        }
        return StreamSettings.read(**(arguments | given))

    def run_to_the_end(self, spark: SparkSession, **given: Any) -> None:
        self.job(spark, available_now=True, **given).wait()

    def ids(self) -> list[str]:
        """The ids in the sink, of predictions and dead letters, each as often as it occurs."""
        return sorted(row["id"] for part in ("predictions", "dead_letters") for row in rows_of(self.sink, part))

    def batches_in(self, directory: str) -> set[int]:
        """The numbers of the batches that the sink holds, or that Spark has noted as done."""
        found = (self.root / directory).iterdir()
        return {int(path.name.removeprefix("batch=")) for path in found if not path.name.startswith(".")}
