"""An HTTP server that strangers cannot fill: few connections at a time, each with a deadline."""

from __future__ import annotations

import socket
import socketserver
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MOST_CONNECTIONS = 16
"""Connections, and so threads, at a time; one more takes the place of the oldest."""
DEADLINE = 5.0
"""Seconds that a connection may take in all, from its acceptance to the end of the answer."""

_POLL = 0.2  # seconds between two looks for connections past their deadline
_PATIENCE = 1.0  # seconds in which a thread whose connection was cut has ended
_DRAINED = 1 << 20  # bytes of a refused request that are read, so that its sender sees the answer


class BoundedServer(ThreadingHTTPServer):
    """A server of `MOST_CONNECTIONS` threads, each of which ends after `DEADLINE`.

    A client that is slow on purpose holds a thread only until another client comes: the newcomer gets the place of the
    oldest connection. An honest request is answered within milliseconds and is not among the oldest.
    """

    request_queue_size = 128  # with the 5 of the base, a burst keeps a newcomer out for a second

    def __init__(self, host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.daemon_threads = True
        self._deadlines: dict[socket.socket, float] = {}
        self._changed = threading.Condition()
        super().__init__((host, port), handler)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's looks the host's name up, which may take long
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def start(self) -> None:
        """Serve in a thread of its own until `shutdown`."""
        threading.Thread(target=self.serve_forever, args=(_POLL,), name="http", daemon=True).start()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changed:
            if len(self._deadlines) >= MOST_CONNECTIONS:
                _cut(next(iter(self._deadlines)))
            if not self._changed.wait_for(lambda: len(self._deadlines) < MOST_CONNECTIONS, _PATIENCE):
                request.close()
                return
            self._deadlines[request] = time.monotonic() + DEADLINE
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """Cut the connections that are past their deadline."""
        now = time.monotonic()
        with self._changed:
            for request, deadline in self._deadlines.items():
                if deadline < now:
                    _cut(request)

    def shutdown_request(self, request: Any) -> None:
        try:
            _drain(request)
            super().shutdown_request(request)
        finally:
            with self._changed:
                self._deadlines.pop(request, None)
                self._changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # one that the client's leaving raises is not worth a line
            super().handle_error(request, client_address)


def _cut(request: socket.socket) -> None:
    """End what a thread waits for on this connection; the thread closes it."""
    with suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


def _drain(request: socket.socket) -> None:
    """Read what of a request was not read: a connection closed over it is reset, and its answer lost."""
    with suppress(OSError):
        request.shutdown(socket.SHUT_WR)
        left = _DRAINED
        while left > 0 and (received := request.recv(65536)):
            left -= len(received)
