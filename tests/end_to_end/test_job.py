"""Promises of `streaming.job` and of the whole stream: each image ends once, whatever happens in between."""

from __future__ import annotations

import gc
import hashlib
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from py4j.java_gateway import JavaObject
from pyspark.sql import SparkSession
from streams import BROKEN, MAX_BYTES, Place, digits, drop, encoded_rows, id_of, rows_of, wait_until

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.images.rejection import Limits
from sparkdl.models.registry import ModelVersion, Registry
from streaming.results import results
from training.data.loading import Dataset, LabelledImage

IMAGES = 1000


@pytest.fixture
def place(tmp_path: Path, registry: Registry) -> Place:
    (tmp_path / "watched").mkdir()
    return Place(tmp_path, registry)


# --- 1,000 images, 20 of them broken, dropped while the stream runs, stopped and started again on the way --------


@dataclass
class Run(Place):
    """The place after it, and what was seen on the way."""

    good: dict[str, LabelledImage] = field(default_factory=dict)
    ids_at_stop: list[str] = field(default_factory=list)
    batches_at_stop: tuple[set[int], set[int]] = (set(), set())
    told_at_stop: int = 0


@pytest.fixture(scope="module")
def run(spark: SparkSession, registry: Registry, drawn: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(tmp_path_factory.mktemp("run"), registry)
    run.watched.mkdir()
    good = digits(drawn, IMAGES - len(BROKEN))
    run.good = {id_of(image): image for image in good}
    bad = [LabelledImage(name, "broken", payload=broken.payload) for name, broken in BROKEN.items()]
    producer = threading.Thread(target=drop, args=(good + bad, run.watched, 200), daemon=True)
    producer.start()
    told: dict[str, Any] = {"max_images_per_trigger": 100, "max_bytes": MAX_BYTES, "label_from": "parent"}

    job = run.job(spark, **told)
    wait_until(lambda: run.images >= IMAGES // 2 or not job.is_active)
    job.stop()
    job.wait()
    run.told_at_stop = run.images
    run.ids_at_stop = run.ids()
    run.batches_at_stop = run.batches_in("sink/predictions"), run.batches_in("checkpoint/commits")

    job = run.job(spark, **told)
    wait_until(lambda: run.images >= IMAGES or not job.is_active)
    job.stop()
    job.wait()
    producer.join()
    return run


def test_each_of_1000_images_ends_once(run: Run) -> None:
    assert run.ids() == sorted([*run.good, *(f"broken/{name}" for name in BROKEN)])
    assert run.images == IMAGES


def test_980_are_predictions_and_20_are_dead_letters(run: Run) -> None:
    assert [row["id"] for row in rows_of(run.sink)] == sorted(run.good)
    assert len(run.good) == 980
    assert [row["id"] for row in rows_of(run.sink, "dead_letters")] == sorted(f"broken/{name}" for name in BROKEN)
    assert sum(batch.predictions for batch in run.batches) == 980
    assert sum(batch.dead_letters for batch in run.batches) == 20


def test_each_dead_letter_has_its_reason(run: Run) -> None:
    found = {row["id"].removeprefix("broken/"): row["reason"] for row in rows_of(run.sink, "dead_letters")}
    assert found == {name: broken.reason.value for name, broken in BROKEN.items()}


def test_each_dead_letter_has_its_bytes_unless_only_the_beginning_was_read(run: Run) -> None:
    for row in rows_of(run.sink, "dead_letters"):
        broken = BROKEN[row["id"].removeprefix("broken/")]
        whole = len(broken.payload) <= MAX_BYTES + 1  # the one more tells that it is too long
        assert row["payload"] == (broken.payload if whole else None)
        assert row["sha256"] == (hashlib.sha256(broken.payload).hexdigest() if whole else None)
        assert row["size"] == len(broken.payload)
        assert row["detail"]
        assert row["label"] == "broken"


def test_the_stream_stopped_half_way_between_two_batches(run: Run) -> None:
    in_sink, noted = run.batches_at_stop
    assert in_sink == noted
    assert IMAGES // 2 <= len(run.ids_at_stop) < IMAGES
    assert len(run.ids_at_stop) == run.told_at_stop
    assert max(run.batches_in("sink/predictions")) > max(in_sink)


def test_nothing_is_left_in_staging(run: Run) -> None:
    assert list((run.sink / "_staging").iterdir()) == []


def test_each_prediction_is_the_most_probable_class(run: Run, model: ModelVersion) -> None:
    for row in rows_of(run.sink):
        probabilities = dict(row["probabilities"])
        assert tuple(probabilities) == tuple(model.description["classes"])
        assert sum(probabilities.values()) == pytest.approx(1)
        assert row["prediction"] == max(probabilities, key=probabilities.__getitem__)
        assert row["confidence"] == probabilities[row["prediction"]]


def test_a_prediction_below_the_model_s_own_confidence_needs_review(run: Run, model: ModelVersion) -> None:
    rows = rows_of(run.sink)
    assert model.review_below is not None
    assert all(row["needs_review"] == (row["confidence"] < model.review_below) for row in rows)
    assert {row["needs_review"] for row in rows} == {True, False}


def test_predictions_name_the_model_and_the_folder_as_label(run: Run, model: ModelVersion) -> None:
    rows = rows_of(run.sink)
    assert {row["model"] for row in rows} == {model.name}
    assert all(row["label"] == run.good[row["id"]].label for row in rows)
    right = sum(row["label"] == row["prediction"] for row in rows)
    assert right > 0.9 * len(rows)  # most of them are what the model was trained on


def test_times_and_origins_tell_of_the_file(run: Run) -> None:
    for row in rows_of(run.sink):
        path = run.watched / row["id"]
        assert row["origin"] == f"file:{path}"
        assert int(row["produced_at"].timestamp() * 1e6) == pytest.approx(path.stat().st_mtime_ns // 1000, abs=1)
        assert row["produced_at"] <= row["predicted_at"]


def test_a_batch_gives_the_same_outcomes_as_the_stream(run: Run, spark: SparkSession, model: ModelVersion) -> None:
    some = dict(list(run.good.items())[::20])
    images = [(name, image.read(), image.label) for name, image in some.items()]
    images += [(f"broken/{name}", broken.payload, "broken") for name, broken in BROKEN.items()]
    encoded = encoded_rows(spark, images).coalesce(2)
    assert model.review_below is not None
    limits = Limits(max_bytes=MAX_BYTES)
    batch = results(encoded, model.load(), model.name, model.review_below, limits).collect()
    streamed = {row["id"]: row for part in ("predictions", "dead_letters") for row in rows_of(run.sink, part)}
    assert len(batch) == len(images)
    for row in batch:
        of_stream = streamed[row["id"]]
        if row["reason"] is None:
            assert row["prediction"] == of_stream["prediction"]
            assert row["probabilities"] == pytest.approx(dict(of_stream["probabilities"]), abs=1e-5)
            assert row["needs_review"] == of_stream["needs_review"]
        else:
            kept = ["reason", "detail", "size", "label"]
            kept += ["payload", "sha256"] * (row["reason"] != "too_many_bytes")
            assert [row[name] for name in kept] == [of_stream[name] for name in kept]


# --- stopping, failing and refusing ------------------------------------------------------------------------------


def test_a_stream_that_waits_for_images_stops_at_once_when_asked(spark: SparkSession, place: Place) -> None:
    job = place.job(spark, trigger=3600)
    job.stop()
    job.wait()
    assert not job.is_active
    assert place.batches == []


@pytest.mark.slow
def test_a_backlog_is_read_in_micro_batches_that_grow(spark: SparkSession, place: Place, drawn: Dataset) -> None:
    (image,) = digits(drawn, 1)
    for number in range(6000):
        (place.watched / f"{number}.png").write_bytes(image.read())
    place.run_to_the_end(spark)
    images = [batch.images for batch in place.batches]
    assert images[:2] == [256, 256]
    assert max(images) > 1536 or sum(batch.seconds for batch in place.batches) > 6000 / 192, images
    assert len(place.ids()) == len(set(place.ids())) == 6000


@pytest.mark.slow
def test_the_driver_holds_nothing_of_a_micro_batch_that_is_done(
    spark: SparkSession, place: Place, drawn: Dataset
) -> None:
    drop(digits(drawn, 80), place.watched)
    job = place.job(spark, max_images_per_trigger=1)

    def java_objects_after(batches: int) -> int:
        wait_until(lambda: len(place.batches) >= batches)
        gc.collect()
        return sum(isinstance(thing, JavaObject) for thing in gc.get_objects())

    before = java_objects_after(20)
    after = java_objects_after(80)
    job.stop()
    job.wait()
    assert after < before + 40  # those of one micro-batch, which may be under way


def test_a_failing_batch_tells_its_cause_in_one_line_and_a_restart_loses_nothing(
    spark: SparkSession, place: Place, drawn: Dataset, capfd: pytest.CaptureFixture[str]
) -> None:
    images = digits(drawn, 15)
    drop(images, place.watched)
    aside = place.root / "aside"
    job = place.job(spark, max_images_per_trigger=1)
    wait_until(lambda: len(place.batches) > 0)
    place.sink.rename(aside)
    place.sink.write_text("where the sink was, there is a file now")
    with pytest.raises(SparkdlError, match=r"^the stream failed: .*sink .* is gone") as caught:
        job.wait()
    assert "\n" not in str(caught.value)
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")
    place.sink.unlink()
    aside.rename(place.sink)
    place.run_to_the_end(spark)
    assert place.ids() == sorted(map(id_of, images))


def test_what_is_wrong_with_a_request_is_said_before_the_stream_starts(
    spark: SparkSession, place: Place, drawn: Dataset
) -> None:
    drop(digits(drawn, 2), place.watched)
    place.run_to_the_end(spark)
    for given, words in (
        ({"source": str(place.root / "missing")}, "no such directory to watch"),
        ({"model": str(place.root / "missing")}, "no such model"),
        ({"sink": str(place.root / "other")}, "belongs to another stream: its sink is parquet:"),
        ({"checkpoint": place.root / "other"}, "holds batches of another checkpoint"),
    ):
        with pytest.raises(RequestError, match=words):
            place.job(spark, **given)
    place.run_to_the_end(spark)
    assert len(place.ids()) == 2


def test_a_sink_that_was_refused_leaves_the_new_checkpoint_free(
    spark: SparkSession, place: Place, drawn: Dataset
) -> None:
    (place.root / "taken" / "predictions").mkdir(parents=True)
    with pytest.raises(RequestError, match="no checkpoint owns"):
        place.job(spark, sink=str(place.root / "taken"))
    drop(digits(drawn, 1), place.watched)
    place.run_to_the_end(spark)
    assert len(place.ids()) == 1
