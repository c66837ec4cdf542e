"""Promises of `sparkdl.spark.class_data_sharing`: Java takes Spark's classes out of it, and does without where it does
not fit.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from needs import need

from sparkdl.spark.java import cds_archive_path, cds_options, ensure_java

START = "from sparkdl.spark.session import spark_session; print(spark_session('archive', {conf}).range(3).count())"


@pytest.fixture
def java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A Java whose archive, if it has one, lies in a cache of the test's own."""
    found = ensure_java()
    monkeypatch.setenv("SPARKDL_CACHE_DIR", str(tmp_path))
    return found


def start_spark(conf: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", START.format(conf=conf or {})]
    return subprocess.run(command, capture_output=True, text=True, env=start_environment())


def start_environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def test_without_an_archive_java_is_told_of_none(java: str) -> None:
    assert cds_options(java) == ""


@pytest.mark.slow
def test_an_archive_that_does_not_fit_is_passed_over_without_a_word(java: str) -> None:
    cds_archive_path(java).parent.mkdir(parents=True)
    cds_archive_path(java).write_bytes(b"no archive")
    assert str(cds_archive_path(java)) in cds_options(java)
    done = start_spark()
    assert (done.stdout, done.stderr, done.returncode) == ("3\n", "", 0)


def test_each_java_has_an_archive_of_its_own(java: str, tmp_path: Path) -> None:
    other = tmp_path / "jdk" / "bin" / "java"
    other.parent.mkdir(parents=True)
    other.touch()
    first = cds_archive_path(str(other))
    assert first != cds_archive_path(java)
    (tmp_path / "jdk" / "release").write_text('JAVA_VERSION="99"')
    assert cds_archive_path(str(other)) != first


def test_where_none_can_be_made_one_line_says_so(java: str, tmp_path: Path) -> None:
    (tmp_path / "java").write_text("a file where the archive's directory would be")
    command = [sys.executable, "-m", "sparkdl.spark.class_data_sharing"]
    done = subprocess.run(command, capture_output=True, text=True, env=start_environment())
    assert done.returncode == 1
    assert done.stderr.startswith("no CDS archive can be written to ")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_java_takes_sparks_classes_out_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPARK_CONF_DIR", raising=False)  # of coverage; it is on the class path that the archive is for
    need(cds_archive_path(ensure_java()).is_file(), "no CDS archive, which `make install` makes")
    loaded = tmp_path / "loaded"
    done = start_spark({"spark.driver.extraJavaOptions": f"-Xlog:class+load:file={loaded}"})
    assert (done.stdout, done.stderr) == ("3\n", "")
    lines = [line for line in loaded.read_text().splitlines() if " org.apache.spark." in line and "Lambda" not in line]
    shared = sum("source: shared objects file" in line for line in lines)
    assert shared / len(lines) > 0.9


@pytest.mark.slow
def test_a_stream_goes_on_without_a_cache_of_its_own_and_says_so(java: str, tmp_path: Path) -> None:
    (tmp_path / "java").mkdir()
    (tmp_path / "java").chmod(0o777)
    done = start_spark()
    assert done.stdout == "3\n"
    [line] = done.stderr.splitlines()
    assert line.startswith("class data sharing is off: the cache ")
