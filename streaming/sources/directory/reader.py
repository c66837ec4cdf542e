"""The Spark data source of a watched directory: plans micro-batches of files, and reads them in tasks.

Spark's file source never reads empty files, fails on files that are larger than the maximum byte array, and ignores
files that are much older than the newest. A stream must return a result for every file, so this module defines a Python
data source.

The offset is the number of a log, which `streaming.sources.directory.file_log` keeps in the checkpoint.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pyspark.sql.datasource import DataSource, DataSourceStreamReader, InputPartition
from pyspark.sql.streaming.datasource import ReadLimit, ReadMaxFiles, SupportsTriggerAvailableNow
from pyspark.sql.types import StructType

from sparkdl.spark.worker_gc import freeze_gc
from sparkdl.system.directory_walk import walk
from sparkdl.system.ignored_names import IgnoredNames
from sparkdl.system.left_out import LeftOut, Why
from streaming.schemas import INPUT_RECORD
from streaming.sources.directory.cleanup import Cleanup, completed_logs
from streaming.sources.directory.file_log import FILES, FileLog, damaged
from streaming.sources.directory.file_rows import printable_name, read_rows
from streaming.sources.directory.listing import WatchedFile, stat_file
from streaming.sources.directory.passed_over import PassedOver
from streaming.sources.directory.stability import Stability

NAME = "sparkdl-directory"
_TRIGGER_BYTES = 128 << 20  # encoded bytes per micro-batch, unless one image has more: the driver holds them in memory
_SMALL_BYTES = 256 << 10  # smaller files are not counted if workers read: only dead letters keep bytes, 256 at a time
_LISTED_FOR = 50  # a listing with enough files may be reused for this many times its duration
_POLL = 0.2  # seconds between two listings while files may still be growing


class DirectoryDataSource(DataSource):
    """The Spark data source of a watched directory.

    Options: `path`, the directory; `checkpoint`, the checkpoint of the stream; `maxFilesPerTrigger`; `maxBytes`, the
    maximum encoded bytes of an image (of a longer file only one byte more is read); `parallelism`, tasks per
    micro-batch; `stableAfter`, seconds without a change before a file without the end marker of its format is read;
    `afterRead`, keep (the default), archive or delete; `archive`, the directory to archive in; `includePayload`, true
    (the default), or false for rows whose `payload` and `size` are null, because workers read the files at `origin`;
    `ignore`, a JSON list of patterns (`sparkdl.system.ignored_names`).
    """

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
            IgnoredNames(json.loads(self.options.get("ignore", "[]"))),
        )


class _FilePartition(InputPartition):
    def __init__(self, files: Sequence[WatchedFile]) -> None:
        self.files = tuple(files)


class _DirectoryReader(DataSourceStreamReader, SupportsTriggerAvailableNow):
    """Plans micro-batches in a separate process, which holds `_log`, and reads them in tasks."""

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
        ignored: IgnoredNames,
    ) -> None:
        self._directory = directory
        self._checkpoint = checkpoint
        self._max_files = max_files
        self._max_bytes = max_bytes
        self._parallelism = parallelism
        self._stability = stability
        self._cleanup = cleanup
        self._include_payload = include_payload
        self._ignored = ignored
        self._passed_over = PassedOver(checkpoint / FILES)
        self._log: FileLog | None = None
        self._listed: list[WatchedFile] = []  # listed but not chosen yet, oldest last
        self._listed_until = 0.0
        self._chosen_at = 0.0
        self._lister: ThreadPoolExecutor | None = None  # not made here: Spark copies readers to its workers
        self._listing_ahead: Future[set[str]] | None = None
        self._until: set[str] | None = None
        self._stable_at = 0.0

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
        is_listed = self._finish_listing(log)
        if self._cleanup:
            self._cleanup.run(log, completed_logs(self._checkpoint))
        if log.last > start["logs"]:
            return {"logs": start["logs"] + 1}
        if log.last < start["logs"]:
            raise damaged(log.directory, f"log {start['logs']} is missing")
        # Micro-batches must fit in memory, even if the trigger asks for all files.
        max_files = limit.max_files if isinstance(limit, ReadMaxFiles) else self._max_files
        while not (chosen := self._choose(log, max_files, is_listed)) and (pause := self._pause()) > 0:
            time.sleep(pause)
        if not chosen:
            return start
        number = log.append(chosen)
        before, self._chosen_at = self._chosen_at, time.monotonic()
        # A full micro-batch is waiting. If the listing expires by then, list again while this one is computed.
        if len(self._listed) >= max_files and 2 * self._chosen_at - before > self._listed_until:
            self._lister = self._lister or ThreadPoolExecutor(1)
            self._listing_ahead = self._lister.submit(self._list_again, log)
        return {"logs": number}

    def _finish_listing(self, log: FileLog) -> bool:
        """Wait for the listing that was started after the last micro-batch; return whether there was one."""
        if self._listing_ahead is None:
            return False
        names = self._listing_ahead.result()
        self._listing_ahead = None
        self._compact(log, names)  # not in the thread: the driver may change the log once the stream ends
        return True

    def _file_log(self) -> FileLog:
        """Return the log; the first call reads it from the checkpoint."""
        if self._log is None:
            self._log = FileLog(self._checkpoint / FILES)
            if self._cleanup:
                self._log.begin_cleanup(completed_logs(self._checkpoint))
            else:
                self._log.end_cleanup()
        return self._log

    def _list(self, log: FileLog) -> tuple[set[str], list[WatchedFile]]:
        """Return all names in the directory, and the files that are not in the log; reads the status of those only."""
        names, fresh, left_out = set[str](), list[WatchedFile](), LeftOut()

        def leave_out(why: Why, name: str, error: OSError | None) -> None:
            left_out.add(why, printable_name(name))
            if error:
                self._passed_over.report(printable_name(name), error)

        for name, entry in walk(self._directory, self._ignored, leave_out):
            names.add(name)
            if name in log or (self._until is not None and name not in self._until):
                continue
            if file := stat_file(name, entry, leave_out):
                fresh.append(file)
        self._passed_over.record(left_out)
        return names, fresh

    def _choose(self, log: FileLog, max_files: int, is_listed: bool) -> list[WatchedFile]:
        """Return the oldest stable files that are not in the log, at most as many as fit in a micro-batch.

        Parameters
        ----------
        is_listed
            Whether the directory was listed since the last micro-batch was chosen.
        """
        again = (is_listed or time.monotonic() < self._listed_until) and not log.needs_compaction
        if again and len(self._listed) >= max_files and (chosen := self._take(max_files, again=True)):
            return chosen
        self._compact(log, self._list_again(log))
        return self._take(max_files)

    def _compact(self, log: FileLog, names: set[str]) -> None:
        log.compact(names, time.time(), self._ignored.covers)

    def _list_again(self, log: FileLog) -> set[str]:
        """Replace `_listed` by a new listing, and return all names in the directory."""
        began = time.monotonic()
        names, fresh = self._list(log)
        self._stability.observe(fresh, time.monotonic())
        self._listed = sorted(fresh, key=lambda file: (file.modified_ns, file.name), reverse=True)
        self._listed_until = time.monotonic() + _LISTED_FOR * (time.monotonic() - began)
        return names

    def _take(self, max_files: int, *, again: bool = False) -> list[WatchedFile]:
        """Return the next listed files; with `again`, check that they have not changed since they were listed."""
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
        """Return the seconds until the next listing; 0 to not wait for files that may still be growing."""
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
        yield from read_rows(self._directory, partition.files, self._max_bytes if self._include_payload else None)


def balance_partitions(files: Sequence[WatchedFile], count: int) -> list[list[WatchedFile]]:
    """Return `files` in at most `count` parts of similar size: largest first, each into the smallest part."""
    parts: list[list[WatchedFile]] = [[] for _ in range(min(count, len(files)))]
    weights = [0] * len(parts)
    for file in sorted(files, key=lambda file: -file.size):
        lightest = weights.index(min(weights))
        parts[lightest].append(file)
        weights[lightest] += file.size + 4096  # opening a file costs as much as reading about 4 KiB
    return parts
