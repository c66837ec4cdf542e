"""Promises of a stream about what is left alone below its source: not predicted, and told to observers."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from pyspark.sql import SparkSession
from streams import Place, encode, rows_of, wait_until

from sparkdl.models.registry import Registry
from sparkdl.system.left_out import LeftOut, Why
from streaming.monitoring.observer import Observer


class Told(Observer):
    """What a stream said that it leaves out."""

    def __init__(self) -> None:
        self.told: list[dict[Why, list[str]]] = []

    def left_out(self, left_out: LeftOut) -> None:
        self.told.append({why: named.names for why, named in left_out.reasons.items()})


def test_a_picture_that_is_renamed_when_it_is_complete_is_predicted_once(
    spark: SparkSession, registry: Registry, tmp_path: Path
) -> None:
    place, told = Place(tmp_path, registry), Told()
    place.watched.mkdir()
    partial = place.watched / "x.png.part"
    partial.write_bytes(encode("PNG"))
    (place.watched / "old.bak").write_bytes(encode("PNG"))
    job = place.job(spark, (told,), ignore=["*.bak"])
    wait_until(lambda: bool(told.told) or not job.is_active)
    partial.rename(place.watched / "x.png")
    wait_until(lambda: bool(place.ids()) or not job.is_active)
    (place.watched / "_DSC0001.JPG").write_bytes(encode("JPEG"))
    wait_until(lambda: len(place.ids()) > 1 or not job.is_active)
    job.stop()
    job.wait()
    assert place.ids() == ["_DSC0001.JPG", "x.png"]
    assert rows_of(place.sink, "dead_letters") == []
    assert told.told == [
        {Why.TEMPORARY: ["x.png.part"], Why.IGNORED: ["old.bak"]},
        {Why.IGNORED: ["old.bak"]},
    ]


def test_a_run_that_finds_nothing_to_read_says_what_it_left_out(
    spark: SparkSession, registry: Registry, tmp_path: Path
) -> None:
    place, told = Place(tmp_path, registry), Told()
    place.watched.mkdir()
    (place.watched / "x.png.crdownload").write_bytes(encode("PNG"))
    place.job(spark, (told,), available_now=True).wait()
    assert told.told == [{Why.TEMPORARY: ["x.png.crdownload"]}]
    assert place.ids() == []


def test_the_label_of_a_folder_is_composed(spark: SparkSession, registry: Registry, tmp_path: Path) -> None:
    place = Place(tmp_path, registry)
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    for name in (composed, decomposed):
        (place.watched / name).mkdir(parents=True)
        (place.watched / name / "x.png").write_bytes(encode("PNG"))
    place.run_to_the_end(spark, label_from="parent")
    assert {row["id"]: row["label"] for row in rows_of(place.sink)} == {
        f"{composed}/x.png": composed,
        f"{decomposed}/x.png": composed,
    }
