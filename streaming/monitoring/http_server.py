"""An HTTP server that resists exhaustion: few connections at a time, each with a deadline."""

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
"""Maximum simultaneous connections, and therefore threads; one more replaces the oldest."""
DEADLINE = 5.0
"""Maximum seconds of a connection, from its acceptance to the end of the response."""

_POLL = 0.2  # seconds between two checks of the deadlines
_PATIENCE = 1.0  # seconds to wait for a thread to end after its connection was cut
_DRAINED = 1 << 20  # bytes to read of a refused request, so that the client sees the response


class BoundedServer(ThreadingHTTPServer):
    """A server of `MOST_CONNECTIONS` threads, each of which ends after `DEADLINE`.

    A deliberately slow client holds a thread only until another client connects: the new connection replaces the oldest
    one. An ordinary request is answered within milliseconds and is never among the oldest.
    """

    request_queue_size = 128  # with the default, 5, a burst delays a new client by a second

    def __init__(self, host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.daemon_threads = True
        self._deadlines: dict[socket.socket, float] = {}
        self._changed = threading.Condition()
        super().__init__((host, port), handler)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer looks up the host name, which may be slow
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def start(self) -> None:
        """Serve in a background thread until `shutdown`."""
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
        """Cut connections that have passed their deadline."""
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
        if not isinstance(sys.exception(), OSError):  # do not log that a client disconnected
            super().handle_error(request, client_address)


def _cut(request: socket.socket) -> None:
    """Shut down a connection to unblock its thread, which then closes it."""
    with suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


def _drain(request: socket.socket) -> None:
    """Read the rest of a request. Closing a connection with unread data resets it, and the response is lost."""
    with suppress(OSError):
        request.shutdown(socket.SHUT_WR)
        left = _DRAINED
        while left > 0 and (received := request.recv(65536)):
            left -= len(received)
