"""Promises of the Delta sink and its reader: each outcome once for every reader of Delta, whatever was cut off."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType
from refusals import refused
from streams import BROKEN, MAX_BYTES, Place, digits, encoded_rows, wait_until

from console.main import run
from producer.replay import replay_to_directory, sequence
from sparkdl.images.rejection import Limits
from sparkdl.models.registry import ModelVersion, Registry
from streaming.batch_stats import BatchStats
from streaming.readers.delta import DeltaReader
from streaming.readers.parquet import ParquetReader
from streaming.results import results
from streaming.schemas import DEAD_LETTER, PREDICTION
from streaming.sinks.delta import DeltaSink
from streaming.sinks.parquet import ParquetSink
from streaming.spark_conf import DELTA
from training.data.loading import Dataset, LabelledImage

OWNER = "0123456789abcdef"
BAD = ("nothing.png", "cut.png", "notes.txt")
GOOD = 5
PARTS = ("predictions", "dead_letters")


@pytest.fixture(scope="module")
def rows(delta_spark: SparkSession, model: ModelVersion, drawn: Dataset) -> DataFrame:
    """The results of five drawn digits and three broken images."""
    good = [(image.name, image.read(), image.label) for image in drawn.images[: 80 * GOOD : 80]]
    bad = [(name, BROKEN[name].payload, None) for name in BAD]
    return results(encoded_rows(delta_spark, good + bad).coalesce(2), model.load(), model.name, 0.5, Limits())


@pytest.fixture(scope="module")
def original(delta_spark: SparkSession, rows: DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sink with one batch, number 0; tests work on copies of it."""
    root = tmp_path_factory.mktemp("delta") / "original"
    assert opened(delta_spark, root).write(rows, 0) == BatchStats(predictions=GOOD, dead_letters=len(BAD))
    return root


@pytest.fixture(scope="module")
def staged(delta_spark: SparkSession, rows: DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same batch as it is staged, in a directory for each part."""
    root = tmp_path_factory.mktemp("parquet")
    sink = ParquetSink(str(root))
    sink.open(delta_spark, OWNER)
    sink.write(rows, 0)
    for part in PARTS:
        (root / part / "batch=0").rename(root / f"staged-{part}")
    return root


@pytest.fixture
def written(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "sink"))


@pytest.fixture
def never(rows: DataFrame) -> DataFrame:
    """Outcomes that cannot be computed: who asks for them fails."""
    return rows.withColumn("id", F.raise_error(F.lit("these rows were computed")))


def opened(spark: SparkSession, root: Path) -> DeltaSink:
    sink = DeltaSink(str(root))
    sink.open(spark, OWNER)
    return sink


def ids(root: Path) -> list[list[str]]:
    """The ids in the two tables, each as often as it occurs."""
    return [sorted(DeltaTable(str(root / part)).to_pyarrow_table()["id"].to_pylist()) for part in PARTS]


def versions(root: Path) -> list[int]:
    return [DeltaTable(str(root / part)).version() for part in PARTS]


# --- what is in it -----------------------------------------------------------------------------------------------


def test_both_tables_are_there_with_their_columns_before_the_first_batch(
    delta_spark: SparkSession, tmp_path: Path
) -> None:
    opened(delta_spark, tmp_path / "new")
    for part, contract in zip(PARTS, (PREDICTION, DEAD_LETTER), strict=True):
        table = delta_spark.read.format("delta").load(str(tmp_path / "new" / part))
        assert table.dtypes == [(field.name, field.dataType.simpleString()) for field in contract]
        assert table.count() == 0
    reader = DeltaReader(str(tmp_path / "new"))
    assert list(reader.rows()) == list(reader.rows(dead=True)) == []
    assert reader.summary()["images"] == 0


def test_a_table_of_an_earlier_version_gets_the_columns_that_it_lacks(
    delta_spark: SparkSession, rows: DataFrame, tmp_path: Path
) -> None:
    sink = opened(delta_spark, tmp_path / "sink")
    shutil.rmtree(tmp_path / "sink" / "predictions")
    earlier = StructType([field for field in PREDICTION if field.name != "labels"])
    empty = delta_spark.createDataFrame([], earlier)
    empty.write.format("delta").save(str(tmp_path / "sink" / "predictions"))
    sink.write(rows, 0)
    assert [row["labels"] for row in DeltaReader(str(tmp_path / "sink")).rows()] == [None] * GOOD


def test_spark_and_delta_rs_read_each_image_once(delta_spark: SparkSession, original: Path, drawn: Dataset) -> None:
    by_spark = [
        sorted(row.id for row in delta_spark.read.format("delta").load(str(original / part)).collect())
        for part in PARTS
    ]
    assert by_spark == ids(original) == [sorted(image.name for image in drawn.images[: 80 * GOOD : 80]), sorted(BAD)]


def test_times_have_their_zone_for_every_reader(original: Path) -> None:
    for part in PARTS:
        (file,) = DeltaTable(str(original / part)).file_uris()
        assert pq.read_schema(file).field("produced_at").type == pa.timestamp("us", "UTC")


def test_a_stream_ends_each_image_once(
    delta_spark: SparkSession, registry: Registry, drawn: Dataset, tmp_path: Path
) -> None:
    place = Place(tmp_path, registry)
    bad = [LabelledImage(name, "broken", payload=BROKEN[name].payload) for name in BAD]
    images = digits(drawn, 57) + bad
    replay_to_directory(sequence(Dataset("", tuple(images)), shuffle=True), place.watched)
    told = {"sink": f"delta:{place.sink}", "max_images_per_trigger": 25, "max_bytes": MAX_BYTES}
    place.run_to_the_end(delta_spark, **told)
    place.run_to_the_end(delta_spark, **told)
    assert ids(place.sink) == [sorted(image.name for image in images[:57]), sorted(BAD)]
    assert [batch.images for batch in place.batches] == [25, 25, 10]
    identity = json.loads((place.checkpoint / "sparkdl.json").read_text())["sink"]
    assert identity == f"delta:{place.sink}"


# --- written again -----------------------------------------------------------------------------------------------


def test_a_replayed_batch_changes_nothing(delta_spark: SparkSession, written: Path, never: DataFrame) -> None:
    before = ids(written), versions(written)
    assert opened(delta_spark, written).write(never, 0) is None
    assert (ids(written), versions(written)) == before


def test_a_replayed_batch_is_known_to_delta_itself(delta_spark: SparkSession, written: Path, rows: DataFrame) -> None:
    before = ids(written)
    shutil.rmtree(written / "_staging")
    opened(delta_spark, written).write(rows, 0)
    assert ids(written) == before


def test_batches_add_up_one_file_each_and_leave_nothing_staged(
    delta_spark: SparkSession, written: Path, rows: DataFrame
) -> None:
    assert opened(delta_spark, written).write(rows.where("reason is null").limit(2), 1) == BatchStats(2, 0)
    predictions = DeltaTable(str(written / "predictions"))
    assert sorted(predictions.to_pyarrow_table()["batch_id"].to_pylist()) == [0] * GOOD + [1, 1]
    assert len(predictions.file_uris()) == 2
    assert [path.name for path in (written / "_staging").rglob("*")] == ["done=1"]


@pytest.mark.parametrize(
    ("kept", "counts"), [("reason is not null", BatchStats(0, len(BAD))), ("false", BatchStats(0, 0))]
)
def test_a_batch_without_predictions_is_complete(
    delta_spark: SparkSession, tmp_path: Path, rows: DataFrame, never: DataFrame, kept: str, counts: BatchStats
) -> None:
    sink = opened(delta_spark, tmp_path / "new")
    assert sink.write(rows.where(kept), 0) == counts
    assert sink.write(never, 0) is None
    assert [len(part) for part in ids(tmp_path / "new")] == [0, counts.dead_letters]


# --- cut off -----------------------------------------------------------------------------------------------------

# A kill leaves one of few states, told apart by which commits had been done. Each is made by taking commits back.


def take_back(root: Path, staged: Path, *parts: str) -> None:
    """The batch is decided; it has not been appended to `parts` yet."""
    (root / "_staging" / "done=0").rmdir()
    for part in PARTS:
        shutil.copytree(staged / f"staged-{part}", root / "_staging" / "ready=0" / part)
    for part in parts:
        for path in (root / part / "_delta_log").glob("*00000000001.*"):
            path.unlink()


@pytest.mark.parametrize("parts", [PARTS, ("predictions",), ()], ids=["neither", "dead letters", "both"])
def test_a_decided_batch_is_completed_and_not_computed_again(
    delta_spark: SparkSession, written: Path, staged: Path, never: DataFrame, parts: tuple[str, ...]
) -> None:
    before = ids(written)
    take_back(written, staged, *parts)
    assert [len(part) for part in ids(written)] == [
        0 if part in parts else len(rows) for part, rows in zip(PARTS, before, strict=True)
    ]
    sink = opened(delta_spark, written)
    assert ids(written) == before
    assert sink.write(never, 0) is None
    assert ids(written) == before


def test_a_batch_whose_staging_was_being_emptied_is_complete(
    delta_spark: SparkSession, written: Path, staged: Path, never: DataFrame
) -> None:
    before = ids(written)
    shutil.copytree(staged / "staged-predictions", written / "_staging" / "done=0" / "predictions")
    assert opened(delta_spark, written).write(never, 0) is None
    assert ids(written) == before


def test_an_undecided_batch_is_written_anew(delta_spark: SparkSession, tmp_path: Path, rows: DataFrame) -> None:
    sink = opened(delta_spark, tmp_path / "new")
    half = tmp_path / "new" / "_staging" / "batch=0" / "predictions"
    half.mkdir(parents=True)
    (half / "part-0.parquet").write_bytes(b"PAR1 and no more")
    assert sink.write(rows, 0) == BatchStats(GOOD, len(BAD))
    assert [len(part) for part in ids(tmp_path / "new")] == [GOOD, len(BAD)]


def test_tables_that_were_being_made_are_made(delta_spark: SparkSession, written: Path) -> None:
    shutil.rmtree(written / "predictions" / "_delta_log")
    shutil.rmtree(written / "dead_letters")
    opened(delta_spark, written)
    assert ids(written) == [[], []]


# --- whose it is -------------------------------------------------------------------------------------------------


def test_a_sink_of_another_checkpoint_is_refused_with_both_named(delta_spark: SparkSession, written: Path) -> None:
    with refused(f"holds batches of another checkpoint ({OWNER}); this one is other"):
        DeltaSink(str(written)).open(delta_spark, "other")


def test_tables_that_nobody_owns_are_not_added_to(delta_spark: SparkSession, written: Path) -> None:
    (written / "_checkpoint.json").unlink()
    with refused("holds predictions that no checkpoint owns"):
        opened(delta_spark, written)


def test_a_directory_is_of_one_kind(delta_spark: SparkSession, written: Path) -> None:
    with refused("is delta:DIR, not parquet:DIR"):
        ParquetSink(str(written)).open(delta_spark, OWNER)
    with refused(f"read delta:{written}"):
        ParquetReader(str(written))


# --- what Spark has to have --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_session_without_delta_is_told_what_to_start_it_with() -> None:
    program = (
        "from sparkdl.spark.session import spark_session\n"
        "from streaming.sinks.delta import DeltaSink\n"
        "try:\n"
        "    DeltaSink('out').open(spark_session('bare', {'spark.master': 'local[1]'}), 'owner')\n"
        "except ValueError as error:\n"
        "    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (
        done.stdout == f"Spark was started without the jars of Delta Lake: start it with --packages {DELTA.package}\n"
    )


# --- reading -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two(delta_spark: SparkSession, rows: DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sink with the batches 2 and 10."""
    root = tmp_path_factory.mktemp("read") / "sink"
    sink = opened(delta_spark, root)
    sink.write(rows, 2)
    sink.write(rows.where("reason is null").limit(2).withColumn("id", F.concat(F.lit("again/"), "id")), 10)
    return root


def test_rows_are_those_of_a_parquet_sink_in_the_order_of_their_batches(
    delta_spark: SparkSession, two: Path, staged: Path
) -> None:
    reader = DeltaReader(str(two))
    rows = list(reader.rows())
    assert [row["batch_id"] for row in rows] == [2] * GOOD + [10] * 2
    assert all(list(row) == PREDICTION.names for row in rows)
    assert all(max(row["probabilities"], key=row["probabilities"].get) == row["prediction"] for row in rows)
    assert {row["id"]: row["payload"] for row in reader.rows(dead=True)} == {
        name: BROKEN[name].payload or b"" for name in BAD
    }


def test_the_summary_counts_everything(two: Path) -> None:
    summary = DeltaReader(str(two)).summary()
    assert (summary["images"], summary["predictions"], summary["dead_letters"]) == (GOOD + 2 + len(BAD), GOOD + 2, 3)
    assert summary["labelled"] == GOOD + 2


def test_compacted_files_give_each_row_once_in_the_same_order(
    delta_spark: SparkSession, two: Path, tmp_path: Path
) -> None:
    compacted = Path(shutil.copytree(two, tmp_path / "sink"))
    before = list(DeltaReader(str(compacted)).rows())
    delta_spark.sql(f"optimize delta.`{compacted / 'predictions'}`").collect()
    assert len(DeltaTable(str(compacted / "predictions")).file_uris()) == 1
    after = list(DeltaReader(str(compacted)).rows())
    assert [row["batch_id"] for row in after] == [row["batch_id"] for row in before]
    assert sorted(row["id"] for row in after) == sorted(row["id"] for row in before)


def test_follow_gives_each_row_once_while_files_are_compacted(
    delta_spark: SparkSession, rows: DataFrame, tmp_path: Path
) -> None:
    sink = opened(delta_spark, tmp_path / "sink")
    some = rows.where("reason is null").limit(3).localCheckpoint()
    seen: list[dict[str, Any]] = []

    def follow() -> None:
        seen.extend(itertools.islice(DeltaReader(str(tmp_path / "sink")).rows(follow=True), 9))

    reader = threading.Thread(target=follow, daemon=True)
    reader.start()
    sink.write(some, 0)
    wait_until(lambda: len(seen) == 3 or not reader.is_alive())
    sink.write(some, 1)
    delta_spark.sql(f"optimize delta.`{tmp_path / 'sink' / 'predictions'}`").collect()
    sink.write(some, 2)
    wait_until(lambda: not reader.is_alive())
    assert [row["batch_id"] for row in seen] == [0] * 3 + [1] * 3 + [2] * 3


def test_the_command_reads_tables_and_exports_their_dead_letters(
    two: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predictions", f"delta:{two}", "--format", "json"]) == 0
    assert len({json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()}) == GOOD + 2
    assert run(["predictions", f"delta:{two}", "--dead-letters", "--export", str(tmp_path / "broken")]) == 0
    assert sum(path.read_bytes() == BROKEN["notes.txt"].payload for path in (tmp_path / "broken").iterdir()) == 1


def test_what_is_no_delta_sink_is_refused(staged: Path, tmp_path: Path) -> None:
    with refused("no such sink: delta:"):
        DeltaReader(str(tmp_path / "missing"))
    with refused("is not a Delta sink: expected a table", "/predictions"):
        DeltaReader(str(staged))


def test_a_missing_package_is_named_with_what_to_install(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deltalake", None)
    with refused("pip install 'sparkdl-streaming[delta]'"):
        DeltaReader(str(two))
