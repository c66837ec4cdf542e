"""Promises of `streaming.monitoring.server`: it answers probes, and resists exhaustion and requests of web pages."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest
from refusals import refused
from streams import wait_until

from streaming.monitoring import http_server
from streaming.monitoring.health import Health
from streaming.monitoring.http_server import MOST_CONNECTIONS
from streaming.monitoring.metrics import Metrics
from streaming.monitoring.server import LONGEST_PATH, parse_http, serve


class Server(NamedTuple):
    host: str
    port: int


def server(address: str) -> Iterator[Server]:
    with serve(address, lambda: Health(True, False, "why not", "m"), Metrics()) as url:
        yield Server(*parse_http(url.removeprefix("http://")))


@pytest.fixture
def here() -> Iterator[Server]:
    yield from server("0")


@pytest.fixture
def everywhere() -> Iterator[Server]:
    yield from server("0.0.0.0:0")


def connect(to: Server) -> socket.socket:
    return socket.create_connection(to, 10)


def answer(to: Server, request: bytes) -> bytes:
    """All that comes back on a connection."""
    with connect(to) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def status(to: Server, path: str = "/livez", *headers: str) -> int:
    lines = [f"GET {path} HTTP/1.1", *headers, "", ""]
    return int(answer(to, "\r\n".join(lines).encode()).split()[1])


def test_livez_and_readyz_are_told_apart(here: Server) -> None:
    assert (status(here, "/livez"), status(here, "/readyz"), status(here, "/metrics")) == (200, 503, 200)
    body = answer(here, b"GET /readyz HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")[2]
    assert json.loads(body) == {"live": True, "ready": False, "why": "why not", "model": "m"}


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "", "["]
)
@pytest.mark.parametrize("path", ["/livez", "/metrics", "/nothing"])
def test_a_page_whose_name_was_made_to_lead_here_reads_nothing(here: Server, host: str, path: str) -> None:
    assert status(here, path, f"Host: {host}") == 421
    assert status(here, path, "Host: localhost", f"Host: {host}") == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9", "localhost.", "127.0.0.1", "127.0.0.1:18090", "[::1]:9"])
def test_names_of_this_machine_are_answered(here: Server, host: str) -> None:
    assert status(here, "/livez", f"Host: {host}") == 200


def test_a_server_for_other_machines_answers_to_any_name(everywhere: Server) -> None:
    assert status(Server("127.0.0.1", everywhere.port), "/livez", "Host: stream:8080") == 200


def test_it_listens_on_ipv6_too() -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6, so nothing can listen on it")
    for found in server("[::1]:0"):
        assert status(found, "/livez", "Host: [::1]") == 200


@pytest.mark.parametrize("length", [LONGEST_PATH + 1, 4097, 60_000, 70_000, 900_000])
def test_a_path_that_is_too_long_is_answered(here: Server, length: int) -> None:
    assert status(here, "/" + "x" * (length - 1)) == 414


def http_threads() -> int:
    return sum(thread.name.count("process_request_thread") for thread in threading.enumerate())


@pytest.mark.parametrize("begun", [b"", b"GET /livez HT", b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"])
def test_slow_clients_neither_keep_probes_out_nor_take_a_thread_each(here: Server, begun: bytes) -> None:
    with ExitStack() as held:
        for _ in range(10 * MOST_CONNECTIONS):
            held.enter_context(connect(here)).sendall(begun)
        assert http_threads() <= MOST_CONNECTIONS + 1
        started = time.monotonic()
        assert status(here) == 200
        assert time.monotonic() - started < 1


def test_a_client_that_sends_a_byte_now_and_then_is_cut_off(
    here: Server, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(http_server, "DEADLINE", 0.5)
    ended = False
    with connect(here) as slow:
        slow.settimeout(0.05)
        slow.sendall(b"GET /")

        def cut() -> bool:
            nonlocal ended
            try:
                slow.sendall(b"x")
                ended = slow.recv(1) == b""
            except TimeoutError:
                pass
            except OSError:
                ended = True
            return ended

        wait_until(cut, 5)
    wait_until(lambda: http_threads() == 0, 5)
    assert capfd.readouterr().err == ""


def test_a_client_that_never_reads_is_cut_off(here: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "DEADLINE", 0.5)
    with connect(here) as deaf:
        deaf.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        wait_until(lambda: http_threads() == 0, 5)


def test_clients_that_reset_leave_no_stack_trace(here: Server, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(50):
        with connect(here) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    wait_until(lambda: http_threads() == 0, 10)
    assert status(here) == 200
    assert capfd.readouterr().err == ""


def test_a_port_that_is_taken_is_named(here: Server) -> None:
    with refused("cannot listen on", str(here.port)):
        next(server(f"127.0.0.1:{here.port}"))
