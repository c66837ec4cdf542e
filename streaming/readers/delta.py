"""Reader of the Delta sink; needs no Spark."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sparkdl.errors import RequestError
from sparkdl.system.extras import require_extra
from streaming.readers.base import BatchReader, is_own, reading
from streaming.sink_layout import DEAD_LETTERS, PREDICTIONS

_BATCH = "batch_id"
_EVER = (0, 2**63 - 1)


class DeltaReader(BatchReader):
    """Reads a Delta sink in a directory, whether or not its files have been compacted (`OPTIMIZE`).

    Files with overlapping ranges of batches are read together. Without compaction such a group is one batch.

    Raises
    ------
    RequestError
        If the directory is not a Delta sink, the sink is still empty, or the package `deltalake` is missing.
    """

    def __init__(self, directory: str) -> None:
        self.root = Path(directory)
        address = f"delta:{directory}"
        require_extra("delta", f"reading {address}", f", or read {self.root}/{PREDICTIONS} with Spark")
        from deltalake import DeltaTable

        if not self.root.is_dir():
            raise RequestError(f"no such sink: {address}")
        for part in (PREDICTIONS, DEAD_LETTERS):
            if not DeltaTable.is_deltatable(str(self.root / part)):
                raise RequestError(f"{address} is not a Delta sink: expected a table {self.root.name}/{part}")
        self._opened = {}
        for dead in (False, True):
            with self._reading(dead=dead):
                self._opened[dead] = DeltaTable(str(self._part(dead=dead)))

    def _tables(self, seen: set[int], *, dead: bool, names: list[str] | None = None) -> Iterator[pa.Table]:
        after = max(seen, default=-1)
        columns = None if names is None else list({*names, _BATCH})
        part = self._part(dead=dead)
        with self._reading(dead=dead):
            table = self._opened[dead]
            table.update_incremental()
            data = table.to_pyarrow_dataset(file_pruning_predicate=[(_BATCH, ">", after)])
            ranges = _ranges(pa.table(table.get_add_actions(flatten=True)))
            for path, (_, last) in ranges.items():
                if last > after and not is_own(part / path, part):  # deltalake would skip some of these silently
                    raise ValueError(f"its log names {path[:200]!r}, which is not a file of the table")
            for files in _in_order(data.get_fragments(), ranges):
                parts = [file.to_table(data.schema, columns=columns, filter=pc.field(_BATCH) > after) for file in files]
                rows = pa.concat_tables(parts).sort_by(_BATCH)
                seen.update(rows[_BATCH][-1:].to_pylist())
                yield rows if names is None else rows.select(names)

    @contextmanager
    def _reading(self, *, dead: bool) -> Iterator[None]:
        from deltalake.exceptions import DeltaError

        place = self._part(dead=dead)
        with reading(place):
            try:
                yield
            except DeltaError as error:
                raise ValueError(str(error)) from error
            except BaseException as error:
                if type(error).__name__ != "PanicException":  # raised by Rust code; it has no more specific base class
                    raise
                raise ValueError(str(error)) from error


def _ranges(files: pa.Table) -> dict[str, tuple[int, int]]:
    """Return the first and last batch of each file, by its path in the table."""
    columns = (files[name].to_pylist() for name in ("path", f"min.{_BATCH}", f"max.{_BATCH}"))
    return {path: _EVER if first is None else (first, last) for path, first, last in zip(*columns, strict=True)}


def _in_order(files: Iterator[Any], ranges: dict[str, tuple[int, int]]) -> Iterator[list[Any]]:
    """Yield groups of files, in batch order, such that no two groups have overlapping ranges of batches."""
    group: list[Any] = []
    last = -1
    for file in sorted(files, key=lambda file: ranges[file.path]):
        first, until = ranges[file.path]
        if group and first > last:
            yield group
            group = []
        group.append(file)
        last = max(last, until)
    if group:
        yield group
