"""Files of a micro-batch as Arrow batches of `streaming.schemas.INPUT_RECORD`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparkdl.images.labels import label_of_folder
from sparkdl.system.file_uris import origin_of
from sparkdl.system.files import read_beginning
from streaming.schemas import INPUT_RECORD
from streaming.sources.directory.listing import WatchedFile, parent_of

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_BYTES = 2 << 20  # encoded bytes per Arrow batch, unless one image has more
_BATCH_ROWS = 256
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Microseconds since then that Python's datetime can represent; the readers use it.
_FIRST = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_LAST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


def read_rows(directory: Path, files: Iterable[WatchedFile], max_bytes: int | None) -> Iterator[pa.RecordBatch]:
    """Read files below `directory`.

    Parameters
    ----------
    max_bytes
        Maximum encoded bytes of an image; of a longer file only one byte more is read. None to not read files: then
        `payload` and `size` are null.
    """
    rows: list[tuple[Any, ...]] = []
    weight = 0
    for file in files:
        path = directory / file.name
        payload, size = read_beginning(path, max_bytes) if max_bytes is not None else (None, None)
        name = printable_name(file.name)
        rows.append((name, origin_of(path), payload, size, _label(file.name), _moment(file.modified_ns)))
        weight += len(payload or b"")  # not the listed size: the file may have grown
        if len(rows) >= _BATCH_ROWS or weight >= _BATCH_BYTES:
            yield _to_arrow(rows)
            rows, weight = [], 0
    if rows:
        yield _to_arrow(rows)


def _label(name: str) -> str | None:
    parent = parent_of(name)
    return None if parent is None else label_of_folder(parent)


def printable_name(name: str) -> str:
    """Return `name` as valid Unicode: bytes that are not UTF-8 become \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _moment(nanoseconds: int) -> int | None:
    """Convert nanoseconds since 1970 to microseconds; None outside the years 1 to 9999."""
    microseconds = nanoseconds // 1000
    return microseconds if _FIRST <= microseconds <= _LAST else None


def _to_arrow(rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
    # Imported here because one of Spark's processes loads this module only to create the source, and would keep them.
    import pyarrow as pa

    from sparkdl.spark import arrow

    names, origins, payloads, sizes, parents, times = zip(*rows, strict=True)
    return pa.RecordBatch.from_arrays(
        [
            arrow.string_array(names),
            arrow.string_array(origins),
            arrow.binary_array(payloads),
            arrow.nullable_array(sizes, pa.int64()),
            arrow.string_array(parents),
            arrow.nullable_array(times, pa.timestamp("us", "UTC")),
        ],
        names=INPUT_RECORD.names,
    )
