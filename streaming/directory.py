"""A watched directory as a streaming source: every file below it once, whatever its size.

Spark's own file source marks empty files as seen and never reads them, fails on a file that is larger than an array
of bytes may be, and forgets files that are much older than the newest. A stream that owes an answer for every file
needs a source of its own; it is one of Spark's Python data sources.

Progress: the offset is a count of logs. Before a micro-batch is planned its files are written to a log of their own,
numbered from 1, in a directory of the checkpoint; the logs together are the files that were ever seen. A log without
a micro-batch (the process died between the two) becomes the next micro-batch as it is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
from pyspark.sql.datasource import DataSource, DataSourceStreamReader, InputPartition
from pyspark.sql.streaming.datasource import ReadLimit, ReadMaxFiles, SupportsTriggerAvailableNow
from pyspark.sql.types import StructType

from streaming.rows import ENCODED

NAME = "sparkdl-directory"
_BATCH_BYTES = 16 << 20  # encoded bytes an Arrow batch, unless one image has more
_BATCH_ROWS = 256
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ARROW_TYPES = [pa.string(), pa.string(), pa.binary(), pa.int64(), pa.string(), pa.timestamp("us", "UTC")]


@dataclass(frozen=True)
class WatchedFile:
    """A file as it was when it was listed: its path relative to the directory, bytes, time of change."""

    name: str
    size: int
    modified_ns: int


class DirectorySource(DataSource):
    """Options: `path`, the directory; `log`, where progress is kept; `maxFilesPerTrigger`; `maxBytes`, an image's
    encoded bytes at the most, of a longer file only one byte more is read; `slots`, tasks a micro-batch."""

    @classmethod
    def name(cls) -> str:
        return NAME

    def schema(self) -> StructType:
        return ENCODED

    def streamReader(self, schema: StructType) -> DataSourceStreamReader:
        return _DirectoryReader(
            Path(self.options["path"]),
            FileLog(Path(self.options["log"])),
            int(self.options["maxFilesPerTrigger"]),
            int(self.options["maxBytes"]),
            int(self.options["slots"]),
        )


class FileLog:
    """The files of each micro-batch, a JSON file each, written whole and never changed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __len__(self) -> int:
        """How many logs there are; they are numbered from 1 without a gap."""
        if not self._directory.is_dir():
            return 0
        return max((int(path.stem) for path in self._directory.glob("[0-9]*.json")), default=0)

    def append(self, files: Sequence[WatchedFile]) -> int:
        """Writes the next log and returns its number."""
        self._directory.mkdir(parents=True, exist_ok=True)
        number = len(self) + 1
        partial = self._directory / f".{number}.json"
        with partial.open("w") as file:
            json.dump([[f.name, f.size, f.modified_ns] for f in files], file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._directory / f"{number}.json")
        return number

    def read(self, number: int) -> list[WatchedFile]:
        """The files of log `number`."""
        with (self._directory / f"{number}.json").open() as file:
            return [WatchedFile(*entry) for entry in json.load(file)]


class _FilePartition(InputPartition):
    def __init__(self, files: Sequence[WatchedFile]) -> None:
        self.files = tuple(files)


class _DirectoryReader(DataSourceStreamReader, SupportsTriggerAvailableNow):
    def __init__(self, directory: Path, log: FileLog, max_files: int, max_bytes: int, slots: int) -> None:
        self._directory = directory
        self._log = log
        self._max_files = max_files
        self._max_bytes = max_bytes
        self._slots = slots
        self._seen: set[str] | None = None
        self._until: set[str] | None = None

    def getDefaultReadLimit(self) -> ReadLimit:
        return ReadMaxFiles(self._max_files)

    def initialOffset(self) -> dict[str, int]:
        return {"logs": 0}

    def prepareForTriggerAvailableNow(self) -> None:
        self._until = {file.name for file in list_files(self._directory)}

    def latestOffset(self, start: dict[str, int], limit: ReadLimit) -> dict[str, int]:
        written = len(self._log)
        if written > start["logs"]:
            return {"logs": start["logs"] + 1}
        if self._seen is None:
            self._seen = {file.name for number in range(1, written + 1) for file in self._log.read(number)}
        fresh = [file for file in list_files(self._directory) if file.name not in self._seen]
        if self._until is not None:
            fresh = [file for file in fresh if file.name in self._until]
        if not fresh:
            return start
        fresh.sort(key=lambda file: (file.modified_ns, file.name))
        # Micro-batches stay of a size that fits in memory, also where the trigger asks for all there is.
        most = limit.max_files if isinstance(limit, ReadMaxFiles) else self._max_files
        chosen = fresh[:most]
        number = self._log.append(chosen)
        self._seen.update(file.name for file in chosen)
        return {"logs": number}

    def partitions(self, start: dict[str, int], end: dict[str, int]) -> Sequence[InputPartition]:
        files = [file for number in range(start["logs"] + 1, end["logs"] + 1) for file in self._log.read(number)]
        return [_FilePartition(share) for share in deal(files, self._slots)]

    def read(self, partition: InputPartition) -> Iterator[Any]:
        assert isinstance(partition, _FilePartition)
        rows: list[tuple[Any, ...]] = []
        weight = 0
        for file in partition.files:
            payload, size = self._content(file)
            name = _printable(file.name)
            rows.append((name, self._origin(file), payload, size, parent_of(name), _moment(file.modified_ns)))
            weight += len(payload or b"")  # not what was listed: the file may have grown since
            if len(rows) >= _BATCH_ROWS or weight >= _BATCH_BYTES:
                yield _to_arrow(rows)
                rows, weight = [], 0
        if rows:
            yield _to_arrow(rows)

    def _content(self, file: WatchedFile) -> tuple[bytes | None, int | None]:
        try:
            with (self._directory / file.name).open("rb") as opened:
                return opened.read(self._max_bytes + 1), os.fstat(opened.fileno()).st_size
        except (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError):
            return None, None  # a dead letter: there is nothing that could be tried again

    def _origin(self, file: WatchedFile) -> str:
        """A URI that leads to the file whatever bytes its name has."""
        return f"file:{quote(os.fsencode(self._directory / file.name))}"


def parent_of(name: str) -> str | None:
    """The folder that the file `name` lies in directly; None for a file that lies in the watched directory itself."""
    parts = name.split("/")
    return parts[-2] if len(parts) > 1 else None


def list_files(directory: Path) -> Iterator[WatchedFile]:
    """The regular files below `directory`; names that begin with a dot, and folders of such names, are left out."""
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            entries = list(os.scandir(directory / folder))
        except OSError:
            if not folder:
                raise
            continue  # a folder that went away while its parent was listed, or that is not open to us
        for entry in entries:
            if entry.name.startswith("."):
                continue
            name = f"{folder}{entry.name}"
            try:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{name}/")
                elif entry.is_file():
                    status = entry.stat()
                    yield WatchedFile(name, status.st_size, status.st_mtime_ns)
            except OSError:
                continue  # went away after it was listed, or a link that leads nowhere


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


def _moment(nanoseconds: int) -> datetime | None:
    """Nanoseconds since 1970 as a time; None for what lies outside the years 1 to 9999, as a file's time may."""
    try:
        return _EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        return None


def _to_arrow(rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
    columns = [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), _ARROW_TYPES, strict=True)]
    return pa.RecordBatch.from_arrays(columns, names=ENCODED.names)
