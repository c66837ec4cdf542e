"""Promises of `sparkdl.spark.worker_python`: workers run the driver's Python, and find PySpark compiled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sparkdl.spark.worker_python import worker_python

SHOW = "import os, sys; print(sys.executable); print(os.environ.get('PYTHONPATH', ''))"
ARCHIVES = "/spark/python/lib/pyspark.zip:/spark/python/lib/py4j-0.10.9.9-src.zip:/spark/jars/spark-core_2.13-4.2.0.jar"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPARKDL_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("SPARK_HOME", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "left"),
    [
        (ARCHIVES, ""),
        (f"{ARCHIVES}:/mine:/yours", "/mine:/yours"),
        ("/mine", "/mine"),
        (None, ""),
    ],
)
def test_a_worker_has_the_path_of_its_driver_without_sparks_archives(path: str | None, left: str) -> None:
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if path is not None:
        variables["PYTHONPATH"] = path
    program = worker_python("local[2,4]")
    assert program != sys.executable
    printed = subprocess.run([program, "-c", SHOW], capture_output=True, text=True, check=True, env=variables).stdout
    assert printed.splitlines() == [sys.executable, left]


@pytest.mark.parametrize("master", ["spark://host:7077", "yarn", "local-cluster[2,1,1024]"])
def test_workers_on_other_machines_get_the_driver_s_python_itself(master: str) -> None:
    assert worker_python(master) == sys.executable


def test_a_spark_of_the_users_own_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_HOME", "/opt/spark")
    assert worker_python("local[2]") == sys.executable


def test_without_a_cache_workers_only_start_more_slowly(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    (cache / "python").write_text("a file where the directory would be")
    with caplog.at_level("INFO"):
        assert worker_python("local[2]") == sys.executable
    assert "start more slowly" in caplog.text
