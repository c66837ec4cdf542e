"""Promises about neighbours: who shares network or machine with a stream neither reaches it nor sees its images."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from streams import Place, digits, wait_until
from test_job import ROOT, drop

from sparkdl.errors import SparkdlError
from sparkdl.session import private_directory
from training.datasets import Dataset
from training.registry import Registry


class Running(NamedTuple):
    """A stream in a process of its own that has classified images, with Spark's UI and its answers over HTTP on."""

    process: psutil.Process
    temporary: Path


@pytest.fixture(scope="module")
def running(registry: Registry, drawn: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    place = Place(tmp_path_factory.mktemp("running"), registry)
    temporary = tmp_path_factory.mktemp("temporary")
    place.watched.mkdir()
    drop(digits(drawn, 4), place.watched)
    command = [sys.executable, "-m", "console.main", "stream", "--source", place.watched, "--sink", place.sink]
    command += ["--model", place.registry.path, "--checkpoint", place.checkpoint]
    command += ["--conf", "spark.master=local[2]", "--conf", "spark.ui.enabled=true", "--http", "0"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPARK_")}
    environment |= {"PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
    with (place.root / "log").open("w") as log:
        stream = subprocess.Popen(list(map(str, command)), env=environment, stderr=log)
    try:
        wait_until(lambda: len(place.ids()) == 4 or stream.poll() is not None)
        assert stream.poll() is None, (place.root / "log").read_text()
        yield Running(psutil.Process(stream.pid), temporary)
    finally:
        stream.terminate()
        stream.wait(60)


def test_all_that_listens_does_so_on_the_loopback_interface(running: Running) -> None:
    listening = {}
    for process in [running.process, *running.process.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):  # a worker that was idle may end meanwhile
            listening |= {address: process.name() for address in addresses(process)}
    assert "java" in listening.values()
    assert any(4040 <= address.port < 4140 for address in listening), listening  # Spark's UI
    loopback = {"127.0.0.1", "::1"}
    beyond = {address for address in listening if address.ip.removeprefix("::ffff:") not in loopback}
    assert not beyond, listening


def addresses(process: psutil.Process) -> list[Any]:
    """Where a process can be reached, by TCP or UDP."""
    return [
        connection.laddr
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN or (connection.type.name == "SOCK_DGRAM" and not connection.raddr)
    ]


def test_what_spills_to_disk_is_closed_to_other_users(running: Running) -> None:
    (private,) = running.temporary.glob("sparkdl-*")
    assert private.stat().st_mode & 0o777 == 0o700
    assert any(private.glob("*/blockmgr-*"))


def test_a_directory_that_another_might_have_made_is_not_used(tmp_path: Path) -> None:
    directory = private_directory(tmp_path)
    assert directory.parent == tmp_path
    assert private_directory(tmp_path) == directory

    directory.chmod(0o755)
    with pytest.raises(SparkdlError, match="is not a directory of this user alone: remove it, or set TMPDIR"):
        private_directory(tmp_path)
    directory.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    directory.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SparkdlError, match="is not a directory of this user alone"):
        private_directory(tmp_path)
    directory.unlink()
    directory.write_text("")
    with pytest.raises(SparkdlError, match=re.escape(f"{directory} cannot be made")):
        private_directory(tmp_path)
