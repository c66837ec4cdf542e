"""The contract of a reader: predictions, dead letters and a summary of a sink, without Spark."""

from __future__ import annotations

import base64
import stat
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sparkdl.errors import SparkdlError
from sparkdl.images.labels import normalize_label
from streaming.sink_layout import DEAD_LETTERS, PREDICTIONS

_MAX_MESSAGE = 300  # characters of a library's error message
_TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}  # ticks per second
_FIRST, _LAST = -62_135_510_400, 253_402_214_400  # seconds: 0001-01-02 and 9999-12-31, in any time zone
_POLL = 0.5  # seconds between two polls for new batches


class Reader(ABC):
    """Reads the rows of a sink."""

    @abstractmethod
    def rows(self, *, dead: bool = False, follow: bool = False) -> Iterator[dict[str, Any]]:
        """Yield each row once, with the columns of the row contracts; with `follow`, wait for more and never end."""

    @abstractmethod
    def columns(self, names: Sequence[str], *, dead: bool = False) -> Iterator[dict[str, list[Any]]]:
        """Yield the values of the named columns of all rows, in chunks."""

    def summary(self) -> dict[str, Any]:
        """Return counts over the whole sink.

        Returns
        -------
        `images`, `predictions`, `dead_letters`, `needs_review`; `classes`, `reasons` and `models`, which map
        each name to its count; `labelled`, `correct` and `accuracy` (None without labels), over the predictions with a
        label.
        """
        classes: Counter[str] = Counter()
        models: Counter[str] = Counter()
        reasons: Counter[str] = Counter()
        review = labelled = correct = 0
        for part in self.columns(("prediction", "label", "model", "needs_review")):
            said, labels = part["prediction"], part["label"]
            classes.update(said)
            models.update(part["model"])
            review += sum(part["needs_review"])
            labelled += sum(label is not None for label in labels)
            correct += sum(
                label is not None and normalize_label(label) == normalize_label(name)
                for label, name in zip(labels, said, strict=True)
            )
        for part in self.columns(("reason",), dead=True):
            reasons.update(part["reason"])
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


@contextmanager
def reading(place: Path) -> Iterator[None]:
    """Turn an error in reading damaged or foreign files at `place` into one line.

    Raises
    ------
    SparkdlError
        If the block raises such an error; the message names `place`.
    """
    try:
        yield
    except (pa.ArrowException, OSError, ArithmeticError, ValueError, TypeError, LookupError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise SparkdlError(f"{place} cannot be read: {lines[0][:_MAX_MESSAGE]}") from error


def is_own(file: Path, directory: Path) -> bool:
    """Whether a file is a regular file below `directory`, not a pipe or a link that leads elsewhere."""
    try:
        return stat.S_ISREG(file.lstat().st_mode) and file.resolve().is_relative_to(directory.resolve())
    except OSError:
        return False


class BatchReader(Reader):
    """Reads the rows of a directory sink, batch by batch in order."""

    root: Path

    @abstractmethod
    def _tables(self, seen: set[int], *, dead: bool, names: list[str] | None = None) -> Iterator[pa.Table]:
        """Yield the named columns of whole batches that are not in `seen`, and add their numbers to `seen`.

        Several batches in one table are in order.
        """

    def rows(self, *, dead: bool = False, follow: bool = False) -> Iterator[dict[str, Any]]:
        seen: set[int] = set()
        while True:
            with reading(self._part(dead=dead)):
                for table in self._tables(seen, dead=dead):
                    for row in _with_readable_times(table).to_pylist():
                        if not dead:
                            row["probabilities"] = dict(row["probabilities"])
                            row.setdefault("labels", None)  # rows of earlier versions lack it
                        yield row
            if not follow:
                return
            time.sleep(_POLL)

    def columns(self, names: Sequence[str], *, dead: bool = False) -> Iterator[dict[str, list[Any]]]:
        with reading(self._part(dead=dead)):
            for table in self._tables(set(), dead=dead, names=list(names)):
                yield table.select(names).to_pydict()

    def _part(self, *, dead: bool) -> Path:
        return self.root / (DEAD_LETTERS if dead else PREDICTIONS)


def _with_readable_times(table: pa.Table) -> pa.Table:
    """Return `table` with null for times that Python cannot represent, which another writer may have stored."""
    for number, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            column, ticks = table.column(number), _TICKS[field.type.unit]
            moments = column.cast(pa.int64())
            readable = pc.and_(
                pc.greater_equal(moments, max(_FIRST * ticks, -(2**63))),
                pc.less_equal(moments, min(_LAST * ticks, 2**63 - 1)),
            )
            if not pc.all(pc.fill_null(readable, True)).as_py():
                table = table.set_column(number, field, pc.if_else(readable, column, pa.scalar(None, field.type)))
    return table


def to_json_value(value: Any) -> Any:
    """Return a value of a row for JSON: bytes in base64, times in ISO 8601."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.isoformat()
    return value
