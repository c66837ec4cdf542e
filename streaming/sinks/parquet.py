"""The Parquet sink: each micro-batch appears whole and once to every reader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streaming.sink_layout import PREDICTIONS, directory_of
from streaming.sinks.staging import StagedSink

if TYPE_CHECKING:
    from streaming.readers.base import Reader


class ParquetSink(StagedSink):
    """Parquet files, exactly once, no half-written batch ever visible.

    `DIR/predictions/batch=N/*.parquet` and `DIR/dead_letters/batch=N/*.parquet`, readable by anything that reads
    Parquet. Each part of a committed batch is moved to its place by a rename.
    """

    scheme = "parquet"

    @classmethod
    def from_address(cls, address: str, **others: Any) -> ParquetSink:
        """Return the sink in the directory of `parquet:DIR` or `DIR`."""
        return cls(directory_of(address, cls.scheme))

    def reader(self) -> Reader:
        from streaming.readers.parquet import ParquetReader

        return ParquetReader(self.directory)

    def _prepare(self) -> None:
        pass

    def is_complete(self, batch_id: int) -> bool:
        return self._files.exists(f"{self._root}/{PREDICTIONS}/batch={batch_id}")

    def _publish_part(self, staged: str, part: str, batch_id: int) -> None:
        self._files.make_directory(f"{self._root}/{part}")
        self._files.rename(staged, f"{self._root}/{part}/batch={batch_id}")

    def _clear(self, committed: str, batch_id: int) -> None:
        self._files.delete(committed)
