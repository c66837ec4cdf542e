"""Promises of `streaming.readers.base`: what a stream has written is read without Spark, while it goes on writing."""

from __future__ import annotations

import base64
import itertools
import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession
from streams import BROKEN, encoded_rows, wait_until

from console.main import run
from sparkdl.errors import RequestError
from sparkdl.images.rejection import Limits
from sparkdl.models.registry import ModelVersion
from streaming.readers.base import to_json_value
from streaming.readers.parquet import ParquetReader
from streaming.results import results
from streaming.schemas import DEAD_LETTER, PREDICTION
from streaming.sinks.parquet import ParquetSink
from training.data.loading import Dataset


@pytest.fixture(scope="module")
def batches(spark: SparkSession, model: ModelVersion, drawn: Dataset) -> list[DataFrame]:
    """The outcomes of two batches: five labelled images and a broken one; two images without a label."""
    first = [(image.name, image.read(), image.label) for image in drawn.images[::80]]
    first[0] = (first[0][0], first[0][1], "wrong")
    second = [(f"unlabelled/{n}.png", drawn.images[n].read(), None) for n in range(2)]
    first.append(("notes.txt", BROKEN["notes.txt"].payload, "0"))
    return [
        results(encoded_rows(spark, rows).coalesce(1), model.load(), model.name, 1.0, Limits())
        for rows in (first, second)
    ]


@pytest.fixture(scope="module")
def sink(spark: SparkSession, batches: list[DataFrame], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sink with the two batches, numbered 2 and 10."""
    root = tmp_path_factory.mktemp("predictions") / "sink"
    writer = ParquetSink(str(root))
    writer.open(spark, "owner")
    for number, rows in zip((2, 10), batches, strict=True):
        writer.write(rows, number)
    return root


def test_rows_come_in_the_order_of_their_batches_by_the_names_of_the_contract(sink: Path) -> None:
    rows = list(ParquetReader(str(sink)).rows())
    assert [row["batch_id"] for row in rows] == [2] * 5 + [10] * 2
    assert all(list(row) == PREDICTION.names for row in rows)


def test_probabilities_are_a_mapping_that_the_prediction_is_the_largest_of(sink: Path) -> None:
    for row in ParquetReader(str(sink)).rows():
        assert sum(row["probabilities"].values()) == pytest.approx(1)
        assert max(row["probabilities"], key=row["probabilities"].get) == row["prediction"]
        assert row["probabilities"][row["prediction"]] == row["confidence"]


def test_dead_letters_are_read_with_their_bytes(sink: Path) -> None:
    (row,) = ParquetReader(str(sink)).rows(dead=True)
    assert list(row) == DEAD_LETTER.names
    assert row["payload"] == BROKEN["notes.txt"].payload
    assert (row["reason"], row["label"], row["batch_id"]) == ("unsupported_format", "0", 2)


def test_the_summary_counts_everything_and_scores_what_has_a_label(sink: Path, model: ModelVersion) -> None:
    summary = ParquetReader(str(sink)).summary()
    rows = list(ParquetReader(str(sink)).rows())
    correct = sum(row["label"] == row["prediction"] for row in rows)
    assert correct < 5
    assert summary | {"classes": None} == {
        "images": 8,
        "predictions": 7,
        "dead_letters": 1,
        "needs_review": sum(row["needs_review"] for row in rows),
        "classes": None,
        "reasons": {"unsupported_format": 1},
        "models": {model.name: 7},
        "labelled": 5,
        "correct": correct,
        "accuracy": correct / 5,
    }
    assert sum(summary["classes"].values()) == 7


def test_without_labels_there_is_no_accuracy(spark: SparkSession, batches: list[DataFrame], tmp_path: Path) -> None:
    writer = ParquetSink(str(tmp_path / "sink"))
    writer.open(spark, "owner")
    writer.write(batches[1], 0)
    summary = ParquetReader(str(tmp_path / "sink")).summary()
    assert (summary["labelled"], summary["accuracy"]) == (0, None)
    assert (summary["dead_letters"], summary["reasons"]) == (0, {})


def test_follow_waits_for_the_next_batch(spark: SparkSession, batches: list[DataFrame], tmp_path: Path) -> None:
    writer = ParquetSink(str(tmp_path / "sink"))
    writer.open(spark, "owner")
    seen: list[dict[str, Any]] = []

    def follow() -> None:
        seen.extend(itertools.islice(ParquetReader(str(tmp_path / "sink")).rows(follow=True), 7))

    reader = threading.Thread(target=follow, daemon=True)
    reader.start()
    writer.write(batches[0], 0)
    wait_until(lambda: len(seen) == 5)
    writer.write(batches[1], 1)
    wait_until(lambda: not reader.is_alive())
    assert [row["batch_id"] for row in seen] == [0] * 5 + [1] * 2


def test_a_sink_that_is_open_and_still_empty_has_no_rows(spark: SparkSession, tmp_path: Path) -> None:
    ParquetSink(str(tmp_path / "sink")).open(spark, "owner")
    reader = ParquetReader(str(tmp_path / "sink"))
    assert list(reader.rows()) == []
    assert reader.summary()["images"] == 0


def test_a_row_becomes_json_and_back(sink: Path) -> None:
    (row,) = ParquetReader(str(sink)).rows(dead=True)
    read = json.loads(json.dumps(row, default=to_json_value))
    assert base64.b64decode(read["payload"]) == row["payload"]
    assert datetime.fromisoformat(read["produced_at"]) == datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)


def test_a_sink_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"no such sink: .*missing"):
        ParquetReader(str(tmp_path / "missing"))


def test_a_directory_of_something_else_is_no_sink(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(RequestError, match=r"is not a sink: expected .*/predictions"):
        ParquetReader(str(tmp_path))


@pytest.mark.parametrize("form", ["table", "json", "csv"])
@pytest.mark.parametrize("kind", ["parquet", "delta"])
def test_times_that_no_reader_holds_are_shown_as_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str, kind: str
) -> None:
    row = {"id": "a", "origin": "o", "prediction": "7", "confidence": 0.5, "probabilities": [("7", 0.5)]}
    row |= {"label": None, "needs_review": False, "model": "m", "batch_id": 0}
    times = pa.array([-90_000_000_000_000_000, 2**62, None, 0], pa.timestamp("us", "UTC"))
    table = pa.table(
        {
            **{name: pa.array([value] * 4) for name, value in row.items() if name != "probabilities"},
            "id": pa.array(["past", "future", "none", "good"]),
            "label": pa.nulls(4, pa.string()),
            "probabilities": pa.array([row["probabilities"]] * 4, pa.map_(pa.string(), pa.float64())),
            "produced_at": times,
            "predicted_at": times,
        }
    )
    dead = table.select(["id", "origin", "batch_id"])
    address = str(tmp_path / "sink")
    if kind == "delta":
        import deltalake

        deltalake.write_deltalake(f"{address}/predictions", table)
        deltalake.write_deltalake(f"{address}/dead_letters", dead)
        address = f"delta:{address}"
    else:
        (tmp_path / "sink" / "predictions" / "batch=0").mkdir(parents=True)
        pq.write_table(table, tmp_path / "sink" / "predictions" / "batch=0" / "part.parquet")
    assert run(["predictions", address, "--format", form]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("past", "future", "none", "good"))
    if form == "json":
        shown = {row["id"]: row["produced_at"] for row in map(json.loads, said.splitlines())}
        assert shown == {"past": None, "future": None, "none": None, "good": "1970-01-01T00:00:00+00:00"}
