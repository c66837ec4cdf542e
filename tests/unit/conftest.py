"""Unit tests need neither Java nor a broker nor another machine: a test that asks for one fails."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

SERVICES = {"spark", "kafka", "secured_broker"}
"""Fixtures that start a JVM; what depends on them does too."""

# Answers `java -version`, so that a search for Java finds it, and records each start.
JAVA = """#!/bin/sh
echo "$*" >> '{calls}'
echo 'openjdk version "21.0.2"' >&2
test "$*" = -version
"""


@pytest.fixture(scope="session")
def java_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Java that runs nothing; `calls` in it holds the arguments of each start."""
    home = tmp_path_factory.mktemp("no-java")
    java = home / "bin" / "java"
    java.parent.mkdir()
    java.write_text(JAVA.format(calls=home / "calls"))
    home.chmod(0o755)  # for tests that act as another user
    java.chmod(0o755)
    return home


@pytest.fixture(autouse=True)
def no_services(request: pytest.FixtureRequest, java_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test that needs a service, starts Java, or connects to another machine."""
    needed = SERVICES & set(request.fixturenames)
    assert not needed, f"a unit test needs {', '.join(sorted(needed))}: move it to tests/integration"
    calls = java_home / "calls"
    calls.unlink(missing_ok=True)
    monkeypatch.setenv("JAVA_HOME", str(java_home))
    monkeypatch.setenv("PATH", f"{java_home / 'bin'}{os.pathsep}{os.environ['PATH']}")
    away: list[Any] = []
    connect = socket.socket.connect

    def connect_here(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not is_here(address[0]):
            away.append(address)
            raise ConnectionRefusedError(f"a unit test connects to {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_here)
    yield
    assert not calls.exists(), f"a unit test started Java: {calls.read_text()}"
    assert not away, f"a unit test connected to another machine: {away}"


def is_here(host: str) -> bool:
    """Whether an address, or the name of one, is on this machine's loopback interface."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
