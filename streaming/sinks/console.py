"""The console sink: each result as a line of JSON on standard output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streaming.batch_stats import BatchStats
from streaming.sinks.base import BatchSink

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class ConsoleSink(BatchSink):
    """Prints each result as one line of JSON on standard output, without its payload; at least once."""

    @classmethod
    def from_address(cls, address: str) -> ConsoleSink:
        """Return the sink; the address holds no further information."""
        return cls()

    def identity(self) -> str:
        return "console"

    def write(self, results: DataFrame, batch_id: int) -> BatchStats | None:
        from pyspark import StorageLevel
        from pyspark.sql import functions as F

        from sparkdl.system.terminal import printable_json
        from streaming.results import dead_letters, predictions

        results.persist(StorageLevel.MEMORY_AND_DISK)
        try:
            counts = []
            for part in (predictions(results, batch_id), dead_letters(results, batch_id)):
                lines = [
                    printable_json(row[0]) for row in part.drop("payload").select(F.to_json(F.struct("*"))).collect()
                ]
                counts.append(len(lines))
                print(*lines, sep="\n", end="\n" * bool(lines), flush=True)  # noqa: T201 - the purpose of this sink
        finally:
            results.unpersist()
        return BatchStats(predictions=counts[0], dead_letters=counts[1])

    def __str__(self) -> str:
        return "console"
