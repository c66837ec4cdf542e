"""The Parquet sink: every reader sees each micro-batch as a whole, exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streaming.sink_layout import PREDICTIONS, directory_of
from streaming.sinks.staging import StagedSink

if TYPE_CHECKING:
    from streaming.readers.base import Reader


class ParquetSink(StagedSink):
    """Parquet files, exactly once; a partially written batch is never visible.

    Writes `DIR/predictions/batch=N/*.parquet` and `DIR/dead_letters/batch=N/*.parquet`, for any reader of Parquet. Each
    part of a committed batch is published by a rename.
    """

    scheme = "parquet"

    @classmethod
    def from_address(cls, address: str) -> ParquetSink:
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
