"""The Parquet sink: each micro-batch appears whole, once, to whoever reads."""

from __future__ import annotations

from streaming.sinks.address import SinkKind
from streaming.sinks.staging import PREDICTIONS, StagedSink


class ParquetSink(StagedSink):
    """Parquet files, exactly once, no half-written batch ever visible.

    `DIR/predictions/batch=N/*.parquet` and `DIR/dead_letters/batch=N/*.parquet`, readable by anything that reads
    Parquet. Each part of a decided batch comes to its place by a rename.
    """

    kind = SinkKind.PARQUET

    def _prepare(self) -> None:
        pass

    def is_complete(self, batch_id: int) -> bool:
        return self._files.exists(f"{self._root}/{PREDICTIONS}/batch={batch_id}")

    def _place(self, staged: str, part: str, batch_id: int) -> None:
        self._files.make_directory(f"{self._root}/{part}")
        self._files.rename(staged, f"{self._root}/{part}/batch={batch_id}")

    def _clear(self, ready: str, batch_id: int) -> None:
        self._files.delete(ready)
