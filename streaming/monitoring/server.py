"""Answers over HTTP whether a stream is alive, whether it is ready, and what it has done."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

from sparkdl.errors import RequestError
from streaming.monitoring.http_server import DEADLINE, BoundedServer
from streaming.monitoring.metrics import CONTENT_TYPE, Metrics

if TYPE_CHECKING:
    from streaming.monitoring.health import Health

LOOPBACK = "127.0.0.1"
LONGEST_PATH = 2048
"""Bytes of a request's path; a longer one is answered with 414."""


def parse_http(address: str) -> tuple[str, int]:
    """Host and port of `[HOST:]PORT`; without a host, this machine alone is answered.

    Raises
    ------
    RequestError
        If it has another form.
    """
    host, _, port = address.rpartition(":")
    if not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise RequestError(f"expected --http as PORT or HOST:PORT, received {address!r}")
    return host.strip("[]") or LOOPBACK, int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


@contextmanager
def serve(address: str, health: Callable[[], Health], metrics: Metrics) -> Iterator[str]:
    """Answers GET of /livez, /readyz (200 or 503, with JSON that says why) and /metrics as long as the block runs.

    A server on a loopback address answers only requests that are addressed to this machine. A web page can have its own
    name resolve to 127.0.0.1 and read what its visitor's machine serves (DNS rebinding); the `Host` header then holds
    that name, and gets 421. By which names other machines call a server is not known, so one on another address
    answers to any.

    Yields
    ------
    The address that is listened on: `http://HOST:PORT`.

    Raises
    ------
    RequestError
        If that cannot be.
    """
    host, port = parse_http(address)
    any_name = not is_loopback(host)

    class Handler(BaseHTTPRequestHandler):
        timeout = DEADLINE
        server_version, sys_version = "sparkdl", ""

        def do_GET(self) -> None:
            if len(self.path) > LONGEST_PATH:
                self._answer(414, "text/plain", f"expected a path of at most {LONGEST_PATH} bytes\n".encode())
            elif not any_name and not all(map(_is_here, self.headers.get_all("Host", ()))):
                self._answer(421, "text/plain", b"expected a Host header that names this machine\n")
            elif self.path == "/metrics":
                self._answer(200, CONTENT_TYPE, metrics.text())
            elif self.path in ("/livez", "/readyz"):
                now = health()
                good = now.live if self.path == "/livez" else now.ready
                self._answer(200 if good else 503, "application/json", json.dumps(asdict(now)).encode() + b"\n")
            else:
                self._answer(404, "text/plain", b"there is /livez, /readyz and /metrics\n")

        def _answer(self, status: int, kind: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is called in the base
            """Says nothing: probes come every few seconds."""

    try:
        server = BoundedServer(host, port, Handler)
    except OSError as error:
        raise RequestError(f"--http: cannot listen on {host}:{port}: {error.strerror}") from error
    server.start()
    try:
        yield f"http://{f'[{host}]' if ':' in host else host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _is_here(header: str) -> bool:
    """Whether a `Host` header, `HOST[:PORT]`, holds a name or an address that leads nowhere but to this machine."""
    match = re.fullmatch(r"\s*(?:\[([0-9a-fA-F:.]+)\]|([^\[\]:]+))(?::\d*)?\s*", header)
    return match is not None and is_loopback((match[1] or match[2]).removesuffix("."))
