"""The Spark data source behind a watched directory: it plans micro-batches of files, and reads them in tasks.

Spark's own file source never reads empty files, fails on a file that is larger than a byte array can be, and forgets
files that are much older than the newest. This stream owes a result for every file, so it has a Python data source of
its own.

Progress: the offset is the number of a log, which `streaming.sources.directory.file_log` keeps in the checkpoint.
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

from sparkdl.spark.worker_gc import freeze_gc
from sparkdl.system.file_uris import origin_of
from sparkdl.system.files import read_beginning
from streaming.schemas import INPUT_RECORD
from streaming.sources.directory.cleanup import Cleanup, completed_logs
from streaming.sources.directory.file_log import FILES, FileLog, damaged
from streaming.sources.directory.listing import WatchedFile, parent_of, scan, stat_file
from streaming.sources.directory.stability import Stability

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "sparkdl-directory"
_BATCH_BYTES = 2 << 20  # encoded bytes an Arrow batch, unless one image has more
_BATCH_ROWS = 256
_TRIGGER_BYTES = 128 << 20  # encoded bytes a micro-batch, unless one image has more: the driver's memory holds them
_SMALL_BYTES = 256 << 10  # encoded bytes of a file that is not counted where workers read: dead letters, 256 at a time
_LISTED_FOR = 50  # times the duration of a listing for which it may be used again, if it has enough files
_REPORTED = 10  # folders and files that cannot be listed and are logged
_POLL = 0.2  # seconds between two listings while files may still be written
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Microseconds since then that Python, which rows are shown in, has a time for.
_FIRST = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_LAST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


class DirectoryDataSource(DataSource):
    """Options: `path`, the directory; `checkpoint`, the stream's; `maxFilesPerTrigger`; `maxBytes`, encoded bytes of an
    image at most, of a longer file only one byte more is read; `parallelism`, tasks per micro-batch; `stableAfter`,
    seconds without a change after which a file is read that does not end as its format ends; `afterRead`, keep (the
    default), archive or delete; `archive`, the directory to archive in; `includePayload`, true (the default), or false
    for rows whose `payload` and `size` are null, because workers read the files by their `origin`."""

    @classmethod
    def name(cls) -> str:
        return NAME

    def schema(self) -> StructType:
        return INPUT_RECORD

    def streamReader(self, schema: StructType) -> DataSourceStreamReader:
        directory, max_bytes = Path(self.options["path"]), int(self.options["maxBytes"])
        after_read = self.options.get("afterRead", "keep")
        archive = Path(self.options["archive"]) if after_read == "archive" else None
        return _DirectoryReader(
            directory,
            Path(self.options["checkpoint"]),
            int(self.options["maxFilesPerTrigger"]),
            max_bytes,
            int(self.options["parallelism"]),
            Stability(directory, float(self.options["stableAfter"])),
            Cleanup(directory, archive, max_bytes) if after_read != "keep" else None,
            self.options.get("includePayload", "true") == "true",
        )


class _FilePartition(InputPartition):
    def __init__(self, files: Sequence[WatchedFile]) -> None:
        self.files = tuple(files)


class _DirectoryReader(DataSourceStreamReader, SupportsTriggerAvailableNow):
    """Plans micro-batches in a process of its own, where `_log` lives, and reads them in tasks."""

    def __init__(
        self,
        directory: Path,
        checkpoint: Path,
        max_files: int,
        max_bytes: int,
        parallelism: int,
        stability: Stability,
        cleanup: Cleanup | None,
        include_payload: bool,
    ) -> None:
        self._directory = directory
        self._checkpoint = checkpoint
        self._max_files = max_files
        self._max_bytes = max_bytes
        self._parallelism = parallelism
        self._stability = stability
        self._cleanup = cleanup
        self._include_payload = include_payload
        self._log: FileLog | None = None
        self._listed: list[WatchedFile] = []  # listed and not chosen yet, the oldest last
        self._listed_until = 0.0
        self._until: set[str] | None = None
        self._stable_at = 0.0
        self._unlisted: set[str] = set()

    def getDefaultReadLimit(self) -> ReadLimit:
        return ReadMaxFiles(self._max_files)

    def initialOffset(self) -> dict[str, int]:
        return {"logs": 0}

    def prepareForTriggerAvailableNow(self) -> None:
        started = time.monotonic()
        self._until, fresh = self._list(self._file_log())
        self._stability.observe(fresh, started)
        self._stable_at = started + self._stability.seconds

    def latestOffset(self, start: dict[str, int], limit: ReadLimit) -> dict[str, int]:
        log = self._file_log()
        if self._cleanup:
            self._cleanup.run(log, completed_logs(self._checkpoint))
        if log.last > start["logs"]:
            return {"logs": start["logs"] + 1}
        if log.last < start["logs"]:
            raise damaged(log.directory, f"log {start['logs']} is missing")
        # Micro-batches keep to a size that fits in memory, also where the trigger asks for all there is.
        max_files = limit.max_files if isinstance(limit, ReadMaxFiles) else self._max_files
        while not (chosen := self._choose(log, max_files)) and (pause := self._pause()) > 0:
            time.sleep(pause)
        return {"logs": log.append(chosen)} if chosen else start

    def _file_log(self) -> FileLog:
        """The log, read from the checkpoint at the first call."""
        if self._log is None:
            self._log = FileLog(self._checkpoint / FILES)
            if self._cleanup:
                self._log.begin_cleanup(completed_logs(self._checkpoint))
            else:
                self._log.end_cleanup()
        return self._log

    def _list(self, log: FileLog) -> tuple[set[str], list[WatchedFile]]:
        """Return all names in the directory, and the files that are not in the log; only their status is read."""
        names, fresh = set[str](), list[WatchedFile]()
        for name, entry in scan(self._directory, self._report_unlisted):
            names.add(name)
            if name in log or (self._until is not None and name not in self._until):
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

    def _choose(self, log: FileLog, max_files: int) -> list[WatchedFile]:
        """Return the oldest stable files that are not in the log, no more than fit in a micro-batch."""
        again = len(self._listed) >= max_files and time.monotonic() < self._listed_until and not log.needs_compaction
        if again and (chosen := self._take(max_files, again=True)):
            return chosen
        began = time.monotonic()
        names, fresh = self._list(log)
        log.compact(names, time.time())
        self._stability.observe(fresh, time.monotonic())
        self._listed = sorted(fresh, key=lambda file: (file.modified_ns, file.name), reverse=True)
        self._listed_until = time.monotonic() + _LISTED_FOR * (time.monotonic() - began)
        return self._take(max_files)

    def _take(self, max_files: int, *, again: bool = False) -> list[WatchedFile]:
        """Return the next of the listed files; `again`: they were listed a while ago and may have changed since."""
        chosen, weight = list[WatchedFile](), 0
        while self._listed and len(chosen) < max_files:
            file = self._listed.pop()
            if (again and not self._is_same(file)) or not self._stability.is_stable(file):
                continue  # until the directory is listed again
            weight += min(file.size, self._max_bytes) if self._include_payload or file.size > _SMALL_BYTES else 0
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
        """Return the seconds until the next listing, 0 if files that may still be written are not waited for."""
        if self._until is None or not self._stability.has_files:
            return 0.0
        return min(_POLL, self._stable_at - time.monotonic())

    def partitions(self, start: dict[str, int], end: dict[str, int]) -> Sequence[InputPartition]:
        log = self._file_log()
        files = [file for number in range(start["logs"] + 1, end["logs"] + 1) for file in log.read(number)]
        return [_FilePartition(share) for share in balance_partitions(files, self._parallelism)]

    def read(self, partition: InputPartition) -> Iterator[Any]:
        assert isinstance(partition, _FilePartition)
        freeze_gc()
        rows: list[tuple[Any, ...]] = []
        weight = 0
        for file in partition.files:
            path = self._directory / file.name
            payload, size = read_beginning(path, self._max_bytes) if self._include_payload else (None, None)
            name = _printable(file.name)
            rows.append((name, origin_of(path), payload, size, parent_of(name), _moment(file.modified_ns)))
            weight += len(payload or b"")  # not what was listed: the file may have grown since
            if len(rows) >= _BATCH_ROWS or weight >= _BATCH_BYTES:
                yield _to_arrow(rows)
                rows, weight = [], 0
        if rows:
            yield _to_arrow(rows)


def balance_partitions(files: Sequence[WatchedFile], count: int) -> list[list[WatchedFile]]:
    """Return `files` in at most `count` parts of similar weight: the largest first, each to the lightest part."""
    parts: list[list[WatchedFile]] = [[] for _ in range(min(count, len(files)))]
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
        names=INPUT_RECORD.names,
    )
