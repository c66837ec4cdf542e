"""A watched directory as a streaming source: every file below it once, whatever its size.

Spark's own file source marks empty files as seen and never reads them, fails on a file that is larger than an array
of bytes may be, and forgets files that are much older than the newest. A stream that owes an answer for every file
needs a source of its own; it is one of Spark's Python data sources.

Progress: the offset is a count of logs, which `streaming.sources.directory.file_log` keeps in the checkpoint.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql.datasource import DataSource, DataSourceStreamReader, InputPartition
from pyspark.sql.streaming.datasource import ReadLimit, ReadMaxFiles, SupportsTriggerAvailableNow
from pyspark.sql.types import StructType

from sparkdl.spark.worker_gc import spare_collector
from sparkdl.system.files import origin_of, read_beginning
from streaming.schemas import ENCODED
from streaming.sources.directory.cleanup import Removal, logs_complete
from streaming.sources.directory.file_log import FILES, Seen, damaged
from streaming.sources.directory.listing import WatchedFile, parent_of, scan, stat_file
from streaming.sources.directory.stability import Settling

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "sparkdl-directory"
_BATCH_BYTES = 2 << 20  # encoded bytes an Arrow batch, unless one image has more
_BATCH_ROWS = 256
_TRIGGER_BYTES = 128 << 20  # encoded bytes a micro-batch, unless one image has more: the driver's memory holds them
_SMALL_BYTES = 256 << 10  # encoded bytes of a file that weighs nothing where workers read: dead letters, 256 at a time
_LISTED_FOR = 50  # times that listing the directory took: how long what was found is good for, if it is enough
_REPORTED = 10  # folders and files that cannot be listed and are logged
_POLL = 0.2  # seconds between two looks at files that are waited for
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Microseconds since then that Python, which rows are shown in, has a time for.
_FIRST = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_LAST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


class DirectorySource(DataSource):
    """Options: `path`, the directory; `checkpoint`, the stream's; `maxFilesPerTrigger`; `maxBytes`, an image's encoded
    bytes at the most, of a longer file only one byte more is read; `slots`, tasks a micro-batch; `settle`, seconds
    without change after which a file that does not end as its format ends is taken; `afterRead`, keep (the default),
    archive or delete; `archive`, the directory to archive in; `contents`, true (the default), or false for rows whose
    `payload` and `size` are null, because who takes them reads the files by their `origin`."""

    @classmethod
    def name(cls) -> str:
        return NAME

    def schema(self) -> StructType:
        return ENCODED

    def streamReader(self, schema: StructType) -> DataSourceStreamReader:
        directory, max_bytes = Path(self.options["path"]), int(self.options["maxBytes"])
        after_read = self.options.get("afterRead", "keep")
        archive = Path(self.options["archive"]) if after_read == "archive" else None
        return _DirectoryReader(
            directory,
            Path(self.options["checkpoint"]),
            int(self.options["maxFilesPerTrigger"]),
            max_bytes,
            int(self.options["slots"]),
            Settling(directory, float(self.options["settle"])),
            Removal(directory, archive, max_bytes) if after_read != "keep" else None,
            self.options.get("contents", "true") == "true",
        )


class _FilePartition(InputPartition):
    def __init__(self, files: Sequence[WatchedFile]) -> None:
        self.files = tuple(files)


class _DirectoryReader(DataSourceStreamReader, SupportsTriggerAvailableNow):
    """Plans micro-batches in a process of its own, where `_seen` lives, and reads them in tasks."""

    def __init__(
        self,
        directory: Path,
        checkpoint: Path,
        max_files: int,
        max_bytes: int,
        slots: int,
        settling: Settling,
        removal: Removal | None,
        contents: bool,
    ) -> None:
        self._directory = directory
        self._checkpoint = checkpoint
        self._max_files = max_files
        self._max_bytes = max_bytes
        self._slots = slots
        self._settling = settling
        self._removal = removal
        self._contents = contents
        self._seen: Seen | None = None
        self._listed: list[WatchedFile] = []  # files that were listed and have not had their turn, the oldest last
        self._listed_until = 0.0
        self._until: set[str] | None = None
        self._patience_ends = 0.0
        self._unlisted: set[str] = set()

    def getDefaultReadLimit(self) -> ReadLimit:
        return ReadMaxFiles(self._max_files)

    def initialOffset(self) -> dict[str, int]:
        return {"logs": 0}

    def prepareForTriggerAvailableNow(self) -> None:
        started = time.monotonic()
        self._until, fresh = self._look(self._progress())
        self._settling.observe(fresh, started)
        self._patience_ends = started + self._settling.seconds

    def latestOffset(self, start: dict[str, int], limit: ReadLimit) -> dict[str, int]:
        seen = self._progress()
        if self._removal:
            self._removal.sweep(seen, logs_complete(self._checkpoint))
        if seen.log.last > start["logs"]:
            return {"logs": start["logs"] + 1}
        if seen.log.last < start["logs"]:
            raise damaged(seen.log.directory, f"log {start['logs']} is missing")
        # Micro-batches stay of a size that fits in memory, also where the trigger asks for all there is.
        most = limit.max_files if isinstance(limit, ReadMaxFiles) else self._max_files
        while not (chosen := self._choose(seen, most)) and (pause := self._pause()) > 0:
            time.sleep(pause)
        return {"logs": seen.take(chosen)} if chosen else start

    def _progress(self) -> Seen:
        """What was seen, read from the checkpoint at the first call."""
        if self._seen is None:
            self._seen = Seen(self._checkpoint / FILES)
            if self._removal:
                self._seen.begin_removing(logs_complete(self._checkpoint))
            else:
                self._seen.end_removing()
        return self._seen

    def _look(self, seen: Seen) -> tuple[set[str], list[WatchedFile]]:
        """All names in the directory, and the files that are not seen; only of these more than the name is asked."""
        names, fresh = set[str](), list[WatchedFile]()
        for name, entry in scan(self._directory, self._report_unlisted):
            names.add(name)
            if name in seen or (self._until is not None and name not in self._until):
                continue
            if file := stat_file(name, entry, self._report_unlisted):
                fresh.append(file)
        return names, fresh

    def _report_unlisted(self, name: str, error: OSError) -> None:
        """Log a folder or file that cannot be listed: once, and only the first few."""
        if name not in self._unlisted and len(self._unlisted) < _REPORTED:
            self._unlisted.add(name)
            from streaming.monitoring.log import BatchLog  # tasks, which import this module, need none of it

            BatchLog().not_listed(_printable(name), error.strerror or str(error))

    def _choose(self, seen: Seen, most: int) -> list[WatchedFile]:
        """The oldest of the settled files that were not seen: at most `most`, and no more than fit in a batch."""
        again = len(self._listed) >= most and time.monotonic() < self._listed_until and not seen.wants_names
        if again and (chosen := self._take(most, again=True)):
            return chosen
        began = time.monotonic()
        names, fresh = self._look(seen)
        seen.compact(names, time.time())
        self._settling.observe(fresh, time.monotonic())
        self._listed = sorted(fresh, key=lambda file: (file.modified_ns, file.name), reverse=True)
        self._listed_until = time.monotonic() + _LISTED_FOR * (time.monotonic() - began)
        return self._take(most)

    def _take(self, most: int, *, again: bool = False) -> list[WatchedFile]:
        """The next of the files that were listed; `again`: a while ago, so that they may have changed since."""
        chosen, weight = list[WatchedFile](), 0
        while self._listed and len(chosen) < most:
            file = self._listed.pop()
            if (again and not self._is_same(file)) or not self._settling.is_settled(file):
                continue  # until the directory is listed again
            weight += min(file.size, self._max_bytes) if self._contents or file.size > _SMALL_BYTES else 0
            if chosen and weight > _TRIGGER_BYTES:
                self._listed.append(file)
                break
            chosen.append(file)
        return chosen

    def _is_same(self, file: WatchedFile) -> bool:
        try:
            return file.is_same((self._directory / file.name).stat())
        except OSError:
            return False

    def _pause(self) -> float:
        """Seconds until it is worth to look again, 0 if files that may still be written are not waited for."""
        if self._until is None or not self._settling.waits:
            return 0.0
        return min(_POLL, self._patience_ends - time.monotonic())

    def partitions(self, start: dict[str, int], end: dict[str, int]) -> Sequence[InputPartition]:
        log = self._progress().log
        files = [file for number in range(start["logs"] + 1, end["logs"] + 1) for file in log.read(number)]
        return [_FilePartition(share) for share in deal(files, self._slots)]

    def read(self, partition: InputPartition) -> Iterator[Any]:
        assert isinstance(partition, _FilePartition)
        spare_collector()
        rows: list[tuple[Any, ...]] = []
        weight = 0
        for file in partition.files:
            path = self._directory / file.name
            payload, size = read_beginning(path, self._max_bytes) if self._contents else (None, None)
            name = _printable(file.name)
            rows.append((name, origin_of(path), payload, size, parent_of(name), _moment(file.modified_ns)))
            weight += len(payload or b"")  # not what was listed: the file may have grown since
            if len(rows) >= _BATCH_ROWS or weight >= _BATCH_BYTES:
                yield _to_arrow(rows)
                rows, weight = [], 0
        if rows:
            yield _to_arrow(rows)


def deal(files: Sequence[WatchedFile], shares: int) -> list[list[WatchedFile]]:
    """`files` in at most `shares` parts of about the same weight: the largest first, each to the lightest part."""
    parts: list[list[WatchedFile]] = [[] for _ in range(min(shares, len(files)))]
    weights = [0] * len(parts)
    for file in sorted(files, key=lambda file: -file.size):
        lightest = weights.index(min(weights))
        parts[lightest].append(file)
        weights[lightest] += file.size + 4096  # opening a file costs as much as reading some of it
    return parts


def _printable(name: str) -> str:
    """`name` as valid Unicode: bytes of a file name that are not UTF-8 are written as \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _moment(nanoseconds: int) -> int | None:
    """Nanoseconds since 1970 in microseconds; None outside the years 1 to 9999, as a file's time may be."""
    microseconds = nanoseconds // 1000
    return microseconds if _FIRST <= microseconds <= _LAST else None


def _to_arrow(rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
    # Here, because one of Spark's processes loads this module only to make a source, and keeps what it has loaded.
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
        names=ENCODED.names,
    )
