"""The directory source: each file below a watched directory once, whatever its size."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sparkdl.errors import RequestError
from sparkdl.images.rejection import DEFAULT_LIMITS
from sparkdl.spark.worker_daemon import LIGHT
from sparkdl.system.ignored_names import IgnoredNames
from sparkdl.system.left_out import LeftOut
from streaming.sources.base import AfterRead, LabelFrom, Source
from streaming.sources.directory.cleanup import Cleanup, check_archive, completed_logs
from streaming.sources.directory.file_log import FILES, FileLog
from streaming.sources.directory.passed_over import read_left_out

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

STABLE_AFTER = 10.0
"""The default of `stable_after`, in seconds."""


class DirectorySource(Source):
    """The files below a directory.

    Parameters
    ----------
    directory
        The watched directory.
    label_from
        Whether the name of a file's folder is its label.
    stable_after
        Seconds without a change before a file without the end marker of its format is read.
    after_read
        What to do with files that were read.
    archive_dir
        The directory to archive files in.
    max_bytes
        Maximum encoded bytes of an image; of a longer file only one byte more is read.
    ignore
        Patterns of names that are left alone, besides `sparkdl.system.ignored_names.TEMPORARY`.

    Raises
    ------
    RequestError
        If a pattern is invalid.
    """

    repeats_batches = True
    has_files = True

    def __init__(
        self,
        directory: Path | str,
        *,
        label_from: LabelFrom = LabelFrom.NONE,
        stable_after: float = STABLE_AFTER,
        after_read: AfterRead = AfterRead.KEEP,
        archive_dir: Path | None = None,
        max_bytes: int = DEFAULT_LIMITS.max_bytes,
        ignore: Sequence[str] = (),
    ) -> None:
        self._directory = Path(directory)
        self._label_from = label_from
        self._stable_after = stable_after
        self._after_read = after_read
        self._archive_dir = archive_dir
        self._max_bytes = max_bytes
        self._ignore = tuple(ignore)
        IgnoredNames(self._ignore)  # refuses invalid patterns

    def check(self) -> None:
        if not self._directory.is_dir():
            raise RequestError(f"no such directory to watch: {self._directory}; create it first")
        if self._after_read is AfterRead.ARCHIVE:
            if self._archive_dir is None:
                raise RequestError("--after-read archive: name the directory to move files to with --archive-dir")
            check_archive(self._directory, self._archive_dir)
        elif self._archive_dir is not None:
            raise RequestError(f"--archive-dir is for --after-read archive, received --after-read {self._after_read}")

    def identity(self) -> str:
        return str(self._directory.resolve())

    def open(
        self, spark: SparkSession, checkpoint: Path, batch_size: int, *, include_payload: bool = True
    ) -> DataFrame:
        from pyspark.sql import functions as F

        from streaming.sources.directory.reader import NAME, DirectoryDataSource

        with _separate_workers(spark):
            spark.dataSource.register(DirectoryDataSource)
        records = (
            spark.readStream.format(NAME)
            .option("checkpoint", str(checkpoint.absolute()))
            .option("maxFilesPerTrigger", batch_size)
            .option("maxBytes", self._max_bytes)
            .option("parallelism", spark.sparkContext.defaultParallelism)
            .option("stableAfter", self._stable_after)
            .option("afterRead", self._after_read.value)
            .option("includePayload", include_payload)
            .option("ignore", json.dumps(self._ignore))
            .option("archive", str(self._archive_dir.absolute()) if self._archive_dir else "")
            .load(str(self._directory.absolute()))
        )
        if self._label_from is LabelFrom.NONE:
            records = records.withColumn("label", F.lit(None).cast("string"))
        return records

    def close(self, checkpoint: Path) -> None:
        """Archive or delete the files of the last micro-batch, as set by `after_read`."""
        if self._after_read is AfterRead.KEEP:
            return
        archive = self._archive_dir.absolute() if self._archive_dir else None
        cleanup = Cleanup(self._directory.absolute(), archive, self._max_bytes)
        cleanup.run(FileLog(checkpoint / FILES), completed_logs(checkpoint))

    def left_out(self, checkpoint: Path) -> LeftOut:
        return read_left_out(checkpoint / FILES)

    def __str__(self) -> str:
        return str(self._directory)


@contextmanager
def _separate_workers(spark: SparkSession) -> Iterator[None]:
    """Give data sources that are registered in the block their own Python workers.

    Spark gives the next task to any idle worker. A worker that first reads files and later classifies images would hold
    a network and a decoder, so there would be twice as many of these.
    """
    environment: dict[str, str] = spark.sparkContext.environment
    environment[LIGHT] = "1"
    try:
        yield
    finally:
        del environment[LIGHT]
