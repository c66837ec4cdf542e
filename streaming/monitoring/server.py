"""Liveness, readiness and metrics of a stream over HTTP."""

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
"""Maximum bytes of a request path; a longer one gets status 414."""


def parse_http(address: str) -> tuple[str, int]:
    """Return the host and port of `[HOST:]PORT`; the default host is the loopback interface.

    Raises
    ------
    RequestError
        If the address has another form.
    """
    host, _, port = address.rpartition(":")
    if not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise RequestError(f"expected --http as PORT or HOST:PORT, received {address!r}")
    return host.strip("[]") or LOOPBACK, int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


@contextmanager
def serve(address: str, health: Callable[[], Health], metrics: Metrics) -> Iterator[str]:
    """Serve GET /livez, /readyz (200 or 503, with JSON that says why) and /metrics for the duration of a `with` block.

    A server on a loopback address accepts only requests whose `Host` header names this machine; others get status 421.
    Otherwise a web page could let its own name resolve to 127.0.0.1 and read from its visitor's machine (DNS
    rebinding). A server on another address accepts any `Host`, because the names that other machines use are unknown.

    Yields
    ------
    The URL of the server, `http://HOST:PORT`.

    Raises
    ------
    RequestError
        If the address has another form, or the server cannot listen on it.
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
                self._answer(404, "text/plain", b"not found: use /livez, /readyz or /metrics\n")

        def _answer(self, status: int, kind: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
            """Log nothing: probes arrive every few seconds."""

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
    """Whether a `Host` header, `HOST[:PORT]`, holds a name or address that always means this machine."""
    match = re.fullmatch(r"\s*(?:\[([0-9a-fA-F:.]+)\]|([^\[\]:]+))(?::\d*)?\s*", header)
    return match is not None and is_loopback((match[1] or match[2]).removesuffix("."))
