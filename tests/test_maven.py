"""What is fetched from a Maven repository, and what is not."""

from __future__ import annotations

import re
from pathlib import Path

import pyspark
import pytest
from pyspark.sql import SparkSession

from console.jars import locked_jars
from sparkdl.maven import REPOSITORY_VARIABLE, package_conf, repository
from streaming.kafka import CONNECTOR

LOCK = Path(__file__).parent.parent / "locks" / "spark-jars.lock"


def test_the_repository_is_maven_central_unless_another_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REPOSITORY_VARIABLE, raising=False)
    assert re.fullmatch(r"https://[\w.]*maven[\w.]*/maven2", repository())
    monkeypatch.setenv(REPOSITORY_VARIABLE, "file:/mirror/")
    assert repository() == "file:/mirror"


def test_a_package_that_lies_among_sparks_own_jars_is_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))
    assert package_conf((CONNECTOR, "a.group:other:1"))["spark.jars.packages"] == f"{CONNECTOR},a.group:other:1"

    (tmp_path / "jars").mkdir()
    (tmp_path / "jars" / "spark-sql-kafka-0-10_2.13-4.2.0.jar").touch()
    assert package_conf((CONNECTOR, "a.group:other:1"))["spark.jars.packages"] == "a.group:other:1"
    assert package_conf((CONNECTOR,)) == {}


def test_the_image_has_the_jars_that_spark_would_fetch_for_the_connectors(kafka_spark: SparkSession) -> None:
    own = {path.name for path in Path(pyspark.__path__[0], "jars").iterdir()}
    listed = kafka_spark.sparkContext._jsc.sc().listJars().mkString(" ").split()
    fetched = {name.rpartition("/")[2].partition("_")[2] for name in listed}  # GROUP_ARTIFACT-VERSION.jar
    assert {jar.name for jar in locked_jars(LOCK)} == fetched - own
