"""Promises of `streaming.sinks`: each outcome once, whole batches only, readable by anything that reads Parquet."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from streams import BROKEN, encoded_rows, rows_of

from sparkdl.errors import RequestError
from sparkdl.images.rejection import Limits
from sparkdl.models.registry import ModelVersion
from streaming.batch_stats import BatchStats
from streaming.results import results
from streaming.schemas import DEAD_LETTER, PREDICTION
from streaming.sinks.console import ConsoleSink
from streaming.sinks.delta import DeltaSink
from streaming.sinks.factory import parse_sink
from streaming.sinks.parquet import ParquetSink
from training.data.loading import Dataset

OWNER = "0123456789abcdef"
BAD = ("nothing.png", "cut.png", "notes.txt")
GOOD = 9


@pytest.fixture(scope="module")
def rows(spark: SparkSession, model: ModelVersion, drawn: Dataset) -> DataFrame:
    """The results of nine drawn digits and three broken images."""
    good = [(image.name, image.read(), image.label) for image in drawn.images[: 40 * GOOD : 40]]
    bad = [(name, BROKEN[name].payload, None) for name in BAD]
    return results(encoded_rows(spark, good + bad).coalesce(2), model.load(), model.name, 0.5, Limits())


@pytest.fixture(scope="module")
def original(spark: SparkSession, rows: DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sink with one batch, number 0; tests work on copies of it."""
    root = tmp_path_factory.mktemp("sink") / "original"
    sink = ParquetSink(str(root))
    sink.open(spark, OWNER)
    assert sink.write(rows, 0) == BatchStats(predictions=GOOD, dead_letters=len(BAD))
    return root


@pytest.fixture
def written(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "sink"))


@pytest.fixture
def never(rows: DataFrame) -> DataFrame:
    """Outcomes that cannot be computed: who asks for them fails."""
    return rows.withColumn("id", F.raise_error(F.lit("these rows were computed")))


def opened(spark: SparkSession, root: Path) -> ParquetSink:
    sink = ParquetSink(str(root))
    sink.open(spark, OWNER)
    return sink


def both_parts(root: Path) -> list[list[dict[str, Any]]]:
    return [rows_of(root, part) for part in ("predictions", "dead_letters")]


def files_of(root: Path) -> dict[str, int]:
    """Every file below `root` and when it was written."""
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


# --- what is in it -----------------------------------------------------------------------------------------------


def test_each_image_is_one_prediction_or_one_dead_letter(original: Path, drawn: Dataset) -> None:
    predictions, dead_letters = both_parts(original)
    assert [row["id"] for row in predictions] == sorted(image.name for image in drawn.images[: 40 * GOOD : 40])
    assert [row["id"] for row in dead_letters] == sorted(BAD)


def test_pandas_duckdb_and_spark_read_the_same_rows(spark: SparkSession, original: Path) -> None:
    for part, bad in (("predictions", False), ("dead_letters", True)):
        kept = ["id", "label", "origin", "batch_id", *(("reason", "size") if bad else ("prediction", "confidence"))]
        by_pandas = pd.read_parquet(original / part)[kept].sort_values("id")
        found = duckdb.sql(f"select {', '.join(kept)} from '{original}/{part}/*/*.parquet' order by id").fetchall()
        by_spark = [
            tuple(row) for row in spark.read.parquet(str(original / part)).select(*kept).orderBy("id").collect()
        ]
        assert [tuple(row) for row in by_pandas.astype(object).where(by_pandas.notna(), None).to_numpy()] == found
        assert by_spark == found
        assert len(found) == (len(BAD) if bad else GOOD)


@pytest.mark.parametrize(("part", "contract"), [("predictions", PREDICTION), ("dead_letters", DEAD_LETTER)])
def test_the_files_have_the_columns_of_the_contract_by_name_and_type(
    spark: SparkSession, original: Path, part: str, contract: Any
) -> None:
    schema = spark.read.parquet(str(original / part / "batch=0")).schema
    assert [(field.name, field.dataType.simpleString()) for field in schema] == [
        (field.name, field.dataType.simpleString()) for field in contract
    ]


def test_the_batch_id_is_a_bigint_to_every_reader(spark: SparkSession, original: Path) -> None:
    predictions = original / "predictions"
    assert pd.read_parquet(predictions)["batch_id"].dtype == "int64"
    assert dict(spark.read.parquet(str(predictions)).dtypes)["batch_id"] == "bigint"
    (kind,) = duckdb.sql(f"select distinct typeof(batch_id) from '{predictions}/*/*.parquet'").fetchall()
    assert kind == ("BIGINT",)


def test_times_have_their_zone_for_every_reader(original: Path) -> None:
    frame = pd.read_parquet(original / "predictions")
    assert str(frame["produced_at"].dt.tz) == str(frame["predicted_at"].dt.tz) == "UTC"
    assert set(frame["produced_at"]) == {pd.Timestamp("2026-01-02T03:04:05.678901Z")}
    kind = duckdb.sql(f"select distinct typeof(predicted_at) from '{original}/predictions/*/*.parquet'").fetchall()
    assert kind == [("TIMESTAMP WITH TIME ZONE",)]


def test_no_file_of_bookkeeping_lies_among_the_rows(original: Path) -> None:
    visible = [p.name for part in ("predictions", "dead_letters") for p in (original / part).rglob("[!.]*")]
    assert all(name == "batch=0" or name.endswith(".parquet") for name in visible)


# --- written again -----------------------------------------------------------------------------------------------


def test_a_replayed_batch_is_left_as_it_is(spark: SparkSession, written: Path, never: DataFrame) -> None:
    before = files_of(written)
    assert opened(spark, written).write(never, 0) is None
    assert files_of(written) == before


def test_batches_lie_side_by_side(spark: SparkSession, written: Path, rows: DataFrame) -> None:
    good = rows.where("reason is null").limit(2)
    assert opened(spark, written).write(good, 1) == BatchStats(predictions=2, dead_letters=0)
    assert [path.name for path in sorted((written / "predictions").iterdir())] == ["batch=0", "batch=1"]
    assert [path.name for path in (written / "dead_letters").iterdir()] == ["batch=0"]
    assert sorted(row["batch_id"] for row in rows_of(written)) == [0] * GOOD + [1, 1]


def test_a_batch_of_broken_images_only_is_complete_without_a_prediction(
    spark: SparkSession, written: Path, rows: DataFrame, never: DataFrame
) -> None:
    sink = opened(spark, written)
    assert sink.write(rows.where("reason is not null"), 1) == BatchStats(predictions=0, dead_letters=len(BAD))
    assert sink.write(never, 1) is None
    assert len(rows_of(written)) == GOOD


def test_an_empty_batch_is_complete_and_readable(
    spark: SparkSession, tmp_path: Path, rows: DataFrame, never: DataFrame
) -> None:
    sink = opened(spark, tmp_path / "new")
    assert sink.write(rows.where("false"), 0) == BatchStats(predictions=0, dead_letters=0)
    assert sink.write(never, 0) is None
    assert len(pd.read_parquet(tmp_path / "new" / "predictions")) == 0


# --- cut off -----------------------------------------------------------------------------------------------------

# A kill leaves one of few states, told apart by which renames had been done. Each is made by taking renames back.


def take_back(root: Path, *parts: str) -> Path:
    """The batch is decided; `parts` have not been moved to their places yet."""
    ready = root / "_staging" / "ready=0"
    ready.mkdir(parents=True)
    for part in parts:
        (root / part / "batch=0").rename(ready / part)
    return ready


CUTS: dict[str, Callable[[Path], Path]] = {
    "before anything was moved": lambda root: take_back(root, "predictions", "dead_letters"),
    "after the dead letters were moved": lambda root: take_back(root, "predictions"),
    "after both were moved": take_back,
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("by", ["the next start", "the replayed batch"])
def test_a_decided_batch_is_completed_and_not_computed_again(
    spark: SparkSession, written: Path, never: DataFrame, cut: Callable[[Path], Path], by: str
) -> None:
    before = both_parts(written)
    if by == "the next start":
        cut(written)
        sink = opened(spark, written)
        assert both_parts(written) == before
    else:
        sink = opened(spark, written)
        cut(written)
    assert sink.write(never, 0) is None
    assert both_parts(written) == before
    assert list((written / "_staging").iterdir()) == []


def test_a_reader_sees_nothing_of_a_batch_that_is_not_decided(written: Path) -> None:
    ready = take_back(written, "predictions", "dead_letters")
    ready.rename(written / "_staging" / "batch=0")
    assert list(written.glob("[!_.]*/**/*.parquet")) == []
    assert both_parts(written) == [[], []]


def test_an_undecided_batch_is_written_anew(spark: SparkSession, written: Path, rows: DataFrame) -> None:
    before = both_parts(written)
    staged = take_back(written, "predictions", "dead_letters").rename(written / "_staging" / "batch=0")
    shutil.rmtree(staged / "dead_letters")
    next((staged / "predictions").glob("*.parquet")).write_bytes(b"PAR1 and no more")
    sink = opened(spark, written)
    assert both_parts(written) == [[], []]
    assert sink.write(rows, 0) == BatchStats(predictions=GOOD, dead_letters=len(BAD))
    after = both_parts(written)
    assert [[row["id"] for row in part] for part in after] == [[row["id"] for row in part] for part in before]
    assert list((written / "_staging").iterdir()) == []


def test_a_batch_that_fails_is_written_by_the_next_attempt(
    spark: SparkSession, tmp_path: Path, rows: DataFrame, never: DataFrame
) -> None:
    sink = opened(spark, tmp_path / "new")
    with pytest.raises(Exception, match="these rows were computed"):
        sink.write(never, 0)
    assert both_parts(tmp_path / "new") == [[], []]
    assert sink.write(rows.limit(3), 0) is not None
    assert len(rows_of(tmp_path / "new")) + len(rows_of(tmp_path / "new", "dead_letters")) == 3


# --- whose it is -------------------------------------------------------------------------------------------------


def test_a_sink_of_another_checkpoint_is_refused_with_both_named(spark: SparkSession, written: Path) -> None:
    with pytest.raises(RequestError, match=f"holds batches of another checkpoint \\({OWNER}\\); this one is other"):
        ParquetSink(str(written)).open(spark, "other")


def test_predictions_that_nobody_owns_are_not_added_to(spark: SparkSession, written: Path) -> None:
    (written / "_checkpoint.json").unlink()
    with pytest.raises(RequestError, match="holds predictions that no checkpoint owns"):
        ParquetSink(str(written)).open(spark, OWNER)


def test_a_sink_that_cannot_be_made_is_refused_in_one_line(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="file/below cannot be opened: ") as caught:
        ParquetSink(str(tmp_path / "file" / "below")).open(spark, OWNER)
    assert "\n" not in str(caught.value)


# --- addresses ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["parquet:out/rows", "out/rows", "parquet:./out/rows/", "delta:out/rows"])
def test_a_parquet_sink_is_a_directory_with_or_without_its_scheme(address: str) -> None:
    sink = parse_sink(address)
    assert isinstance(sink, DeltaSink if address.startswith("delta") else ParquetSink)
    assert Path(sink.directory) == Path("out/rows")


@pytest.mark.parametrize("address", ["iceberg:out", "s3://bucket/out", "parquet:", "delta:", ""])
def test_another_address_is_refused_with_what_was_expected(address: str) -> None:
    with pytest.raises(RequestError, match=f"expected the sink as .*directory.*, received '{address}'"):
        parse_sink(address)


def test_a_file_is_no_sink(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="expected the sink as a directory"):
        parse_sink(str(tmp_path / "file"))


def test_the_console_shows_an_object_a_line_without_the_bytes(
    spark: SparkSession, rows: DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    sink = parse_sink("console")
    assert isinstance(sink, ConsoleSink)
    sink.open(spark, OWNER)
    assert sink.write(rows, 3) == BatchStats(predictions=GOOD, dead_letters=len(BAD))
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(shown) == GOOD + len(BAD)
    assert {row["batch_id"] for row in shown} == {3}
    assert all("payload" not in row for row in shown)
    assert all(math.isclose(sum(row["probabilities"].values()), 1) for row in shown if "prediction" in row)
