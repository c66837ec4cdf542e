"""Answers over HTTP whether a stream is alive, whether it is ready, and what it has done."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from sparkdl.errors import RequestError
from streaming.job import Health
from streaming.metrics import CONTENT_TYPE, Metrics

LOOPBACK = "127.0.0.1"


def parse_http(address: str) -> tuple[str, int]:
    """Host and port of `[HOST:]PORT`; without a host, this machine alone is answered.

    Raises
    ------
    RequestError
        If it has another form.
    """
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise RequestError(f"expected --http as PORT or HOST:PORT, received {address!r}")
    return host.strip("[]") or LOOPBACK, int(port)


@contextmanager
def serve(address: str, health: Callable[[], Health], metrics: Metrics) -> Iterator[str]:
    """Answers GET of /livez, /readyz (200 or 503, with JSON that says why) and /metrics as long as the block runs.

    Yields
    ------
    The address that is listened on: `http://HOST:PORT`.

    Raises
    ------
    RequestError
        If that cannot be.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = 10
        server_version, sys_version = "sparkdl", ""

        def do_GET(self) -> None:
            if self.path == "/metrics":
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

    host, port = parse_http(address)
    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        raise RequestError(f"--http: cannot listen on {host}:{port}: {error.strerror}") from error
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
