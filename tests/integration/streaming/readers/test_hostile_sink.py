"""Promises of reading a sink that somebody else has written to: one line, and nothing outside of it is read."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from sparkdl.errors import SparkdlError
from streaming.readers.base import Reader
from streaming.readers.delta import DeltaReader
from streaming.readers.parquet import ParquetReader

PARTS = ("predictions", "dead_letters")


def rows_of(secret: str, batch: int = 1) -> pa.Table:
    return pa.table(
        {
            "id": [secret],
            "prediction": ["7"],
            "probabilities": pa.array([[("7", 1.0)]], pa.map_(pa.string(), pa.float64())),
            "reason": ["empty"],
            "label": ["7"],
            "model": ["m"],
            "needs_review": [False],
            "batch_id": pa.array([batch], pa.int64()),
        }
    )


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A Parquet file that belongs to no sink."""
    path = tmp_path / "outside.parquet"
    pq.write_table(rows_of("SECRET", 2), path)
    return path


@pytest.fixture
def delta(tmp_path: Path) -> Path:
    for part in PARTS:
        write_deltalake(str(tmp_path / "delta" / part), rows_of("mine"))
    return tmp_path / "delta"


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    for part in PARTS:
        folder = tmp_path / "sink" / part / "batch=1"
        folder.mkdir(parents=True)
        pq.write_table(rows_of("mine"), folder / "part-0.parquet")
    return tmp_path / "sink"


def entry_of(sink: Path) -> tuple[Path, dict[str, Any]]:
    """Where the next entry of the log goes, and the action of the first that names a file."""
    log = sink / "predictions" / "_delta_log"
    actions = map(json.loads, (log / f"{0:020}.json").read_text().splitlines())
    return log / f"{1:020}.json", next(action["add"] for action in actions if "add" in action)


def refused(reader: Callable[[], Reader]) -> str:
    """What is said of a sink, by each way of reading it."""
    said = []
    for read in (lambda: list(reader().rows()), lambda: reader().summary()):
        with pytest.raises(SparkdlError) as error:
            read()
        said.append(str(error.value))
    assert "\n" not in "".join(said)
    assert "SECRET" not in "".join(said)
    return said[0]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        yield server


@pytest.mark.parametrize(
    "path",
    [
        *("{outside}", "file://{outside}", "file:{outside}", "../../outside.parquet", "%2e%2e/%2e%2e/outside.parquet"),
        *("http://127.0.0.1:{port}/x.parquet", "s3://127.0.0.1:{port}/x.parquet", "//127.0.0.1:{port}/x"),
        *("", ".", "a\0b", "x" * 5000, "_delta_log/00000000000000000000.json"),
    ],
)
def test_a_log_that_names_something_else_than_a_file_of_the_table_is_refused(
    path: str, delta: Path, outside: Path, listener: socket.socket
) -> None:
    entry, add = entry_of(delta)
    add["path"] = path.format(outside=outside, port=listener.getsockname()[1])
    add["size"] = outside.stat().st_size
    entry.write_text(json.dumps({"add": add}) + "\n")
    assert f"{delta / 'predictions'} cannot be read: " in refused(lambda: DeltaReader(str(delta)))
    with pytest.raises(TimeoutError):
        listener.accept()


@pytest.mark.parametrize("kind", ["link", "pipe", "link of a folder"])
def test_a_file_of_a_table_that_leads_elsewhere_is_refused(kind: str, delta: Path, outside: Path) -> None:
    entry, add = entry_of(delta)
    add |= {"path": "b/x.parquet", "size": outside.stat().st_size}
    place = delta / "predictions" / "b"
    if kind == "link of a folder":
        place.symlink_to(outside.parent)
        add["path"] = "b/outside.parquet"
    else:
        place.mkdir()
        (place / "x.parquet").symlink_to(outside) if kind == "link" else os.mkfifo(place / "x.parquet")
    entry.write_text(json.dumps({"add": add}) + "\n")
    assert "which is not a file of the table" in refused(lambda: DeltaReader(str(delta)))


@pytest.mark.parametrize(
    "content",
    [
        *(b"{" * 100_000, b"[1]", b"null", b"\xff", b"\0", b'{"add":{"path":7}}', b'{"metaData":{"id":"x"}}'),
        *(b'{"protocol":{"minReaderVersion":99,"minWriterVersion":99}}', b'{"add":{"path":"a","size":-1}}'),
        b'{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["unheard"],"writerFeatures":[]}}',
    ],
)
def test_a_log_that_is_none_is_one_line(content: bytes, delta: Path) -> None:
    entry, _ = entry_of(delta)
    entry.write_bytes(content)
    assert f"{delta / 'predictions'} cannot be read: " in refused(lambda: DeltaReader(str(delta)))


def test_a_table_without_the_columns_of_a_sink_is_one_line(tmp_path: Path) -> None:
    for part in PARTS:
        write_deltalake(str(tmp_path / "sink" / part), pa.table({"other": [1]}))
    refused(lambda: DeltaReader(str(tmp_path / "sink")))


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "text", "link of a folder", "name"])
def test_what_is_no_batch_of_a_parquet_sink_is_one_line(kind: str, parquet: Path, outside: Path) -> None:
    place = parquet / "predictions" / "batch=2"
    if kind == "link of a folder":
        place.symlink_to(outside.parent)
    elif kind == "name":
        place.with_name("batch=x").mkdir()
    else:
        place.mkdir()
        file = place / "part-0.parquet"
        match kind:
            case "link":
                file.symlink_to(outside)
            case "pipe":
                os.mkfifo(file)
            case "folder":
                file.mkdir()
            case "text":
                file.write_text("PAR1 no Parquet PAR1")
    assert f"{parquet / 'predictions'} cannot be read: " in refused(lambda: ParquetReader(str(parquet)))


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"other": [1]}),
        rows_of("x").set_column(2, "probabilities", pa.array([None], pa.map_(pa.string(), pa.float64()))),
        rows_of("x").set_column(2, "probabilities", pa.array([7])),
    ],
    ids=["no columns", "null", "number"],
)
def test_rows_of_another_form_are_one_line(table: pa.Table, parquet: Path) -> None:
    pq.write_table(table, parquet / "predictions" / "batch=1" / "part-0.parquet")
    with pytest.raises(SparkdlError, match=r"cannot be read: "):
        list(ParquetReader(str(parquet)).rows())


def test_metadata_for_pandas_and_of_extension_types_runs_nothing(parquet: Path, tmp_path: Path) -> None:
    """Old releases of pyarrow unpickled a type that a file named."""
    called = tmp_path / "called"
    pickled = f"cposix\nsystem\n(S'touch {called}'\ntR.".encode()
    field = pa.field(
        "id",
        pa.string(),
        metadata={b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": pickled},
    )
    table = rows_of("mine")
    schema = table.schema.set(0, field).with_metadata({b"pandas": b'{"index_columns": [{"kind": "range"}]'})
    pq.write_table(table.cast(schema), parquet / "predictions" / "batch=1" / "part-0.parquet")
    assert [row["id"] for row in ParquetReader(str(parquet)).rows()] == ["mine"]
    assert not called.exists()


def test_a_table_that_is_whole_is_read(delta: Path, parquet: Path) -> None:
    assert [row["id"] for row in ParquetReader(str(parquet)).rows()] == ["mine"]
    assert [row["id"] for row in DeltaReader(str(delta)).rows()] == ["mine"]
    assert DeltaTable(str(delta / "predictions")).version() == 0
