"""Reads a Parquet sink: its predictions, its dead letters, and a summary of both; needs no Spark."""

from __future__ import annotations

import base64
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sparkdl.errors import RequestError
from streaming.sinks import DEAD_LETTERS, PREDICTIONS, parquet_directory

_POLL = 0.5  # seconds between two looks for new batches


class SinkReader:
    """The rows of a Parquet sink, batch by batch in the order of the batches.

    Raises
    ------
    RequestError
        If the address is no Parquet sink's, or there is nothing yet.
    """

    def __init__(self, address: str) -> None:
        self.root = Path(parquet_directory(address))
        if not self.root.is_dir():
            raise RequestError(f"no such sink: {address}")
        if not (self.root / PREDICTIONS).is_dir() and not any(self.root.glob("_*")):
            raise RequestError(f"{address} is not a sink: expected {self.root.name}/{PREDICTIONS}")

    def tables(self, part: str, seen: set[str] | None = None) -> Iterator[pa.Table]:
        """A table a batch; `seen` holds the names of batches to pass over, and gets those that are read."""
        seen = set() if seen is None else seen
        for directory in sorted((self.root / part).glob("batch=*"), key=lambda path: int(path.name.split("=")[1])):
            if directory.name not in seen:
                seen.add(directory.name)
                yield pa.concat_tables([pq.ParquetFile(path).read() for path in sorted(directory.glob("*.parquet"))])

    def rows(self, *, dead: bool = False, follow: bool = False) -> Iterator[dict[str, Any]]:
        """The rows, as the row contracts name them; with `follow` it waits for more and never ends."""
        seen: set[str] = set()
        while True:
            for table in self.tables(DEAD_LETTERS if dead else PREDICTIONS, seen):
                for row in table.to_pylist():
                    if not dead:
                        row["probabilities"] = dict(row["probabilities"])
                    yield row
            if not follow:
                return
            time.sleep(_POLL)

    def summary(self) -> dict[str, Any]:
        """Counts over the whole sink.

        Returns
        -------
        `images`, `predictions`, `dead_letters`, `needs_review`; `classes`, `reasons` and `models`, each name to
        count; `labelled`, `correct` and `accuracy` (None without labels) over the predictions with a label.
        """
        classes: Counter[str] = Counter()
        models: Counter[str] = Counter()
        reasons: Counter[str] = Counter()
        review = labelled = correct = 0
        for table in self.tables(PREDICTIONS):
            said, labels = table["prediction"].to_pylist(), table["label"].to_pylist()
            classes.update(said)
            models.update(table["model"].to_pylist())
            review += sum(table["needs_review"].to_pylist())
            labelled += sum(label is not None for label in labels)
            correct += sum(label == name for label, name in zip(labels, said, strict=True))
        for table in self.tables(DEAD_LETTERS):
            reasons.update(table["reason"].to_pylist())
        return {
            "images": classes.total() + reasons.total(),
            "predictions": classes.total(),
            "dead_letters": reasons.total(),
            "needs_review": review,
            "classes": dict(sorted(classes.items())),
            "reasons": dict(sorted(reasons.items())),
            "models": dict(sorted(models.items())),
            "labelled": labelled,
            "correct": correct,
            "accuracy": correct / labelled if labelled else None,
        }


def to_json_value(value: Any) -> Any:
    """`value` of a row as JSON takes it: bytes in base64, times in ISO 8601."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.isoformat()
    return value
