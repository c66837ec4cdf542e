"""A Maven repository over HTTP."""

from __future__ import annotations

from http.server import SimpleHTTPRequestHandler


class SilentHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass
