"""A token endpoint (OAuth 2.0, client credentials) that signs JWTs, and the keys that a broker checks them with."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

CLIENT, SECRET = "maya", 'secret-4714 "quoted\\"'
ISSUER, AUDIENCE, SCOPE = "https://issuer.example", "brokers", "images"


@dataclass
class TokenServer:
    """What the endpoint does, and what it was asked.

    Attributes
    ----------
    lifetime
        Seconds that a token is valid.
    secret
        The one that is accepted.
    status
        Not 200: an answer without a token.
    asked
        The forms that were posted.
    on_request
        Called before each answer.
    """

    lifetime: float = 300
    secret: str = SECRET
    status: int = 200
    body: bytes | None = None
    asked: list[dict[str, str]] = field(default_factory=list)
    on_request: Callable[[], None] = lambda: None
    url: str = ""
    _key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    @property
    def jwks(self) -> dict[str, Any]:
        """The public key."""
        numbers = self._key.public_key().public_numbers()
        key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "1", "n": _number(numbers.n), "e": _number(numbers.e)}
        return {"keys": [key]}

    def token(self) -> str:
        """A signed JWT."""
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": CLIENT, "scope": SCOPE, "iat": now}
        parts = ({"alg": "RS256", "kid": "1", "typ": "JWT"}, claims | {"exp": now + max(1, round(self.lifetime))})
        signed = ".".join(_encoded(json.dumps(part).encode()) for part in parts)
        return f"{signed}.{_encoded(self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def answer(self, authorization: str, form: dict[str, str]) -> tuple[int, bytes]:
        """The status and body for a posted form."""
        self.asked.append(form)
        self.on_request()
        if self.body is not None or self.status != 200:
            return self.status, self.body or b"no"
        expected = base64.b64encode(f"{CLIENT}:{self.secret}".encode()).decode()
        if authorization != f"Basic {expected}" or form.get("grant_type") != "client_credentials":
            said = {"error": "invalid_client", "error_description": f"not this one: {authorization}\n{SECRET}"}
            return 401, json.dumps(said).encode()
        token = {"access_token": self.token(), "token_type": "Bearer", "expires_in": self.lifetime, "scope": SCOPE}
        return 200, json.dumps(token).encode()


@contextmanager
def a_token_server(key_and_chain: Path | None = None) -> Iterator[TokenServer]:
    """A server on this machine: `POST /token` and `GET /jwks`; over TLS if a PEM file is given."""
    state = TokenServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            if self.path == "/moved":
                return self._send(307, b"", {"Location": state.url})
            self._send(*state.answer(self.headers["Authorization"], {name: value[0] for name, value in form.items()}))
            return None

        def do_GET(self) -> None:
            self._send(200, json.dumps(state.jwks).encode())

        def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if key_and_chain is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(key_and_chain)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    state.url = f"{'https' if key_and_chain else 'http'}://127.0.0.1:{server.server_port}/token"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _number(value: int) -> str:
    return _encoded(value.to_bytes((value.bit_length() + 7) // 8, "big"))
