"""Promises of `streaming.sources.factory`: an address becomes a stream of encoded images, or one line says why not."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from sparkdl.errors import RequestError
from streaming.schemas import INPUT_RECORD
from streaming.settings import StreamSettings


def settings(tmp_path: Path, source: str | Path, **given: object) -> StreamSettings:
    return StreamSettings.read(
        source=str(source),
        sink=str(tmp_path / "out"),
        checkpoint=tmp_path / "checkpoint",
        **{"stable_after": 0, **given},
    )


@pytest.mark.parametrize(
    ("label_from", "labels"),
    [("none", {"7/a.png": None, "b.png": None}), ("parent", {"7/a.png": "7", "b.png": None})],
)
def test_labels_come_from_the_parent_folder_if_they_are_asked_for(
    spark: SparkSession, tmp_path: Path, label_from: str, labels: dict[str, str | None]
) -> None:
    watched = tmp_path / "watched"
    (watched / "7").mkdir(parents=True)
    (watched / "7" / "a.png").write_bytes(b"x")
    (watched / "b.png").write_bytes(b"x")
    source = settings(tmp_path, watched, label_from=label_from).make_source()
    encoded = source.open(spark, tmp_path / "checkpoint", 100)
    assert encoded.isStreaming
    assert [(f.name, f.dataType) for f in encoded.schema] == [(f.name, f.dataType) for f in INPUT_RECORD]
    query = (
        encoded.writeStream.format("memory")
        .queryName(f"labels_from_{label_from}")
        .trigger(availableNow=True)
        .option("checkpointLocation", str(tmp_path / "checkpoint"))
        .start()
    )
    query.awaitTermination()
    assert {row["id"]: row["label"] for row in spark.table(f"labels_from_{label_from}").collect()} == labels


def test_a_directory_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"no such directory to watch: .*missing"):
        settings(tmp_path, tmp_path / "missing").make_source().check()


def test_a_file_is_no_directory_to_watch(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match=r"no such directory to watch: .*file"):
        settings(tmp_path, tmp_path / "file").make_source().check()


def test_an_address_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        RequestError, match="expected --source as a directory or kafka://HOST:PORT/TOPIC, received 's3://bucket/images'"
    ):
        settings(tmp_path, "s3://bucket/images").make_source().check()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"after_read": "archive"}, "--after-read archive: name the directory to move files to with --archive-dir"),
        ({"archive_dir": "done"}, "--archive-dir is for --after-read archive, received --after-read keep"),
        (
            {"archive_dir": "done", "after_read": "delete"},
            "--archive-dir is for --after-read archive, received --after-read delete",
        ),
        ({"archive_dir": "in/done", "after_read": "archive"}, "--archive-dir: .* is in the watched directory"),
    ],
)
def test_what_cannot_be_done_after_reading_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    with pytest.raises(RequestError, match=f"^{words}"):
        settings(tmp_path, "in", **given).make_source().check()
    settings(tmp_path, "in", after_read="archive", archive_dir="done").make_source().check()


def test_messages_are_not_removed_after_reading(tmp_path: Path) -> None:
    with pytest.raises(
        RequestError, match=r"^--after-read delete is for directories: omit it, messages stay on the broker"
    ):
        settings(tmp_path, "kafka://127.0.0.1:1/images", after_read="delete").make_source().check()


def test_a_source_is_known_by_the_directory_it_stands_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    same = {settings(tmp_path, source).make_source().identity() for source in ("in/", "./in")}
    assert same == {str(tmp_path / "in")}
