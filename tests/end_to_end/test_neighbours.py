"""Promises about neighbours: who shares network or machine with a stream neither reaches it nor sees its images."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from neighbour import Answer, BlockClient, as_neighbour, rpc_message
from paths import ROOT
from streams import Place, digits, drop, wait_until

from sparkdl.errors import SparkdlError
from sparkdl.models.registry import Registry
from sparkdl.spark.session import private_directory
from training.data.loading import Dataset

PLANTED = ("traceback", "pickle", "socket", "numpy", "pyarrow", "pyspark", "sparkdl", "sitecustomize", "usercustomize")
"""Modules that a Python which looks into its working directory would take from there."""


class Running(NamedTuple):
    """A stream in a separate process that has classified images, with Spark's UI and its answers over HTTP on.

    Its working directory is the one that it watches, where somebody has put Python modules between the images.
    """

    process: psutil.Process
    temporary: Path
    place: Place
    marks: Path
    """Where a planted module leaves its name when it is run."""

    def ports(self, process_name: str) -> set[int]:
        """The TCP ports that its processes of that name listen on."""
        found = set[int]()
        for process in [self.process, *self.process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                if process.name().startswith(process_name):
                    connections = process.net_connections("tcp")
                    found |= {c.laddr.port for c in connections if c.status == psutil.CONN_LISTEN}
        return found


@pytest.fixture(scope="module")
def running(registry: Registry, drawn: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    place = Place(tmp_path_factory.mktemp("running"), registry)
    temporary = tmp_path_factory.mktemp("temporary")
    marks = tmp_path_factory.mktemp("marks")
    place.watched.mkdir()
    plant(place.watched, marks)
    drop(digits(drawn, 4), place.watched)
    command = [sys.executable, "-P", "-m", "console.main", "stream", "--source", place.watched, "--sink", place.sink]
    command += ["--model", place.registry.path, "--checkpoint", place.checkpoint]
    command += ["--conf", "spark.master=local[2]", "--conf", "spark.ui.enabled=true", "--http", "0"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPARK_")}
    environment |= {"PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
    with (place.root / "log").open("w") as log:
        stream = subprocess.Popen(list(map(str, command)), env=environment, stderr=log, cwd=place.watched)
    try:
        wait_until(lambda: len(place.ids()) == 4 + len(PLANTED) or stream.poll() is not None)
        assert stream.poll() is None, (place.root / "log").read_text()
        yield Running(psutil.Process(stream.pid), temporary, place, marks)
    finally:
        stream.terminate()
        stream.wait(60)


def plant(directory: Path, marks: Path) -> None:
    """Puts Python modules into a directory that leave a file in `marks` when they are run."""
    for name in PLANTED:
        (directory / f"{name}.py").write_text(f"open({str(marks / name)!r}, 'w').close()\n")


class OpenDriver(NamedTuple):
    """A driver without authentication, and what an attacker has to know."""

    app: str
    driver_port: int
    block_port: int
    metadata: str
    message: str

    def attacks(self, driver_port: int, block_port: int) -> dict[str, Answer]:
        """What a neighbour is answered who asks for a block, brings one, and sends the driver a message."""
        metadata, message = bytes.fromhex(self.metadata), bytes.fromhex(self.message)

        def attack() -> dict[str, tuple[Any, ...]]:
            blocks, forged = BlockClient(block_port), BlockClient(block_port)
            rpc = rpc_message("127.0.0.1", driver_port, "endpoint-verifier", message)
            return {
                "read": tuple(blocks.read_block("broadcast_0_piece0", self.app)),
                "upload": tuple(forged.upload_block("rdd_1_0", self.app, metadata, b"forged")),
                "message": tuple(BlockClient(driver_port).ask(rpc)),
            }

        return {name: Answer(*answer) for name, answer in as_neighbour(attack).items()}


@pytest.fixture(scope="module")
def open_driver() -> Iterator[OpenDriver]:
    command = [sys.executable, str(ROOT / "tests" / "support" / "attackers" / "open_driver.py")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True) as driver:
        assert driver.stdout
        yield OpenDriver(**json.loads(driver.stdout.readline()))
        driver.communicate(timeout=60)


@pytest.mark.slow
def test_spark_by_itself_serves_any_neighbour(open_driver: OpenDriver) -> None:
    answers = open_driver.attacks(open_driver.driver_port, open_driver.block_port)
    assert {name: answer.was_served for name, answer in answers.items()} == dict.fromkeys(answers, True)


@pytest.mark.slow
def test_a_neighbour_reads_no_block_brings_none_and_is_no_voice_to_the_driver(
    running: Running, open_driver: OpenDriver
) -> None:
    ports = running.ports("java")
    assert len(ports) >= 3  # the driver's, the block manager's, the gateway's
    for port in ports:
        for name, answer in open_driver.attacks(port, port).items():
            assert not answer.was_served, (port, name, answer)


@pytest.mark.slow
def test_nobody_but_its_own_jvm_calls_the_drivers_python(running: Running) -> None:
    def attack() -> list[bytes]:
        answers = []
        for port in ports:
            with socket.create_connection(("127.0.0.1", port), 3) as connection:
                connection.sendall(b"c\np0\ntoString\ne\n")
                with suppress(OSError):
                    answers.append(connection.recv(1000))
        return answers

    ports = running.process.net_connections("tcp")
    ports = {c.laddr.port for c in ports if c.status == psutil.CONN_LISTEN}
    assert len(ports) >= 2  # of HTTP, of calls from Java
    assert [answer for answer in as_neighbour(attack) if answer.startswith(b"!")] == []


@pytest.mark.slow
def test_whoever_was_refused_left_nothing_in_the_log_and_the_stream_goes_on(running: Running, drawn: Dataset) -> None:
    for port in running.ports("java"):
        for sent in (b"GET / HTTP/1.1\r\n\r\n", b"\x7f" + b"\xff" * 7 + b"\x03", os.urandom(1000), b"A\nno\n"):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 3) as connection:
                connection.sendall(sent)
    before = len(running.place.ids())
    (more,) = digits(drawn, 5)[4:]
    drop([more], running.place.watched)
    wait_until(lambda: len(running.place.ids()) == before + 1)
    lines = (running.place.root / "log").read_text().splitlines()
    assert [line for line in lines if not line.startswith(("{", "starting Spark"))] == []


@pytest.mark.slow
def test_nothing_is_imported_from_the_working_directory(running: Running) -> None:
    assert (running.place.watched / "traceback.py").is_file()
    assert sorted(path.name for path in running.marks.iterdir()) == []


@pytest.mark.slow
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


@pytest.mark.slow
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
    with pytest.raises(SparkdlError, match=re.escape(f"{directory} cannot be created")):
        private_directory(tmp_path)
