"""Promises of `sparkdl.spark.java_source`: Java is compiled once, and Hadoop starts no process for a local file."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from sparkdl.spark import java_source
from sparkdl.spark.java_source import compile_java, jar_of, start_no_processes_for_files
from sparkdl.spark.private import hadoop_configuration, jvm
from sparkdl.system.cache import CACHE_VARIABLE


def test_java_is_compiled_without_a_compiler(spark: SparkSession) -> None:
    compiled = compile_java(spark.sparkContext, "Two.java", "public class Two { public int two() { return 2; } }")
    assert compiled.keys() == {"Two"}
    assert compiled["Two"].startswith(b"\xca\xfe\xba\xbe")


def test_a_source_is_compiled_once(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    source = tmp_path / "One.java"
    source.write_text("public class One { public int one() { return 1; } }")
    jar = jar_of(spark.sparkContext, source)
    assert jar.parent == tmp_path / "cache" / "java"
    made = jar.stat().st_mtime_ns
    assert jar_of(spark.sparkContext, source) == jar
    assert jar.stat().st_mtime_ns == made
    source.write_text("public class One { public int one() { return 2; } }")
    assert jar_of(spark.sparkContext, source) != jar


def test_without_a_cache_it_is_compiled_at_each_start(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file" / "cache"))
    jar = jar_of(spark.sparkContext, java_source._LOCAL_FILES)
    assert jar.is_file()
    assert tmp_path not in jar.parents


def test_hadoop_sets_the_permissions_of_local_files_itself(spark: SparkSession, tmp_path: Path) -> None:
    start_no_processes_for_files(spark.sparkContext)
    start_no_processes_for_files(spark.sparkContext)  # by another stream of this session
    java, conf = jvm(spark.sparkContext), hadoop_configuration(spark.sparkContext)
    path = java.org.apache.hadoop.fs.Path
    files = path(str(tmp_path)).getFileSystem(conf)
    assert files.getClass().getName() == "LocalFiles"
    mode = java.org.apache.hadoop.fs.permission.FsPermission
    for number, bits in enumerate((0o600, 0o644, 0o777, 0o751, 0o1777)):
        file = tmp_path / str(number)
        files.create(path(str(file))).close()
        files.setPermission(path(str(file)), mode(bits))
        assert stat.S_IMODE(file.stat().st_mode) == bits
    spark.range(3).write.parquet(str(tmp_path / "rows"))
    assert spark.read.parquet(str(tmp_path / "rows")).count() == 3
    umask = 0o777 & ~stat.S_IMODE((tmp_path / "rows").stat().st_mode)
    assert all(stat.S_IMODE(part.stat().st_mode) == 0o666 & ~umask for part in (tmp_path / "rows").iterdir())
