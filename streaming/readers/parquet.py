"""Reader of the Parquet sink; needs no Spark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sparkdl.errors import RequestError
from streaming.readers.base import BatchReader, is_own
from streaming.sink_layout import PREDICTIONS


class ParquetReader(BatchReader):
    """Reads a Parquet sink in a directory.

    Raises
    ------
    RequestError
        If the directory is not a Parquet sink, or the sink is still empty.
    """

    def __init__(self, directory: str) -> None:
        self.root = Path(directory)
        if not self.root.is_dir():
            raise RequestError(f"no such sink: {directory}")
        if (self.root / PREDICTIONS / "_delta_log").is_dir():
            raise RequestError(f"{self.root} holds Delta tables: read delta:{self.root}")
        if not (self.root / PREDICTIONS).is_dir() and not any(self.root.glob("_*")):
            raise RequestError(f"{directory} is not a sink: expected {self.root.name}/{PREDICTIONS}")

    def _tables(self, seen: set[int], *, dead: bool, names: list[str] | None = None) -> Iterator[pa.Table]:
        batches = {int(path.name.split("=")[1]): path for path in self._part(dead=dead).glob("batch=*")}
        for number in sorted(batches.keys() - seen):
            seen.add(number)
            files = sorted(batches[number].glob("*.parquet"))
            for path in files:
                if not is_own(path, self.root):
                    raise ValueError(f"{path} is not a regular file of the sink")
            yield pa.concat_tables([pq.ParquetFile(path).read(names) for path in files])
