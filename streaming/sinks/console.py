"""The console sink: each outcome as a line of JSON on standard output, for looking."""

from __future__ import annotations

from collections.abc import Callable

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from sparkdl.system.terminal import printable_json
from streaming.results import dead_letters, predictions
from streaming.sinks.base import Sink, Written, always


class ConsoleSink(Sink):
    """Prints each outcome as a JSON object a line on standard output; for looking."""

    def open(self, checkpoint_id: str, still_ours: Callable[[], None] = always) -> None:
        pass

    def write(self, rows: DataFrame, batch_id: int) -> Written | None:
        rows.persist(StorageLevel.MEMORY_AND_DISK)
        try:
            counts = []
            for part in (predictions(rows, batch_id), dead_letters(rows, batch_id)):
                lines = [
                    printable_json(row[0]) for row in part.drop("payload").select(F.to_json(F.struct("*"))).collect()
                ]
                counts.append(len(lines))
                print(*lines, sep="\n", end="\n" * bool(lines), flush=True)  # noqa: T201 - this is what it is for
        finally:
            rows.unpersist()
        return Written(*counts)
