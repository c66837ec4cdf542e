"""Preflight check of a broker: a client retries silently, while this connection reports what is wrong.

It uses three requests of Kafka's protocol, each in a version that all brokers support: ApiVersions, SaslHandshake and
SaslAuthenticate (https://kafka.apache.org/protocol).
"""

from __future__ import annotations

import socket
import ssl
import struct

from sparkdl.errors import SparkdlError
from streaming.kafka.client_config import ClientConfig

TIMEOUT = 10
"""Seconds in which a broker must answer."""
_API_VERSIONS, _SASL_HANDSHAKE, _SASL_AUTHENTICATE = (18, 0), (17, 1), (36, 0)  # key and version
_ILLEGAL_SASL_STATE = 34  # the answer of a listener without logins
_MAX_ANSWER = 1 << 20  # bytes of an answer; servers other than Kafka appear to announce more
_OTHER_HOST = (62, 64)  # OpenSSL's codes for a certificate of another host name or IP address


def probe(server: str, config: ClientConfig, timeout: float = TIMEOUT) -> None:
    """Connect to a broker with `config`, log in, and close the connection.

    Parameters
    ----------
    server
        `HOST:PORT`.
    timeout
        Seconds in which the broker must answer.

    Raises
    ------
    OSError, OverflowError
        If the connection fails.
    SparkdlError
        If TLS, the certificate, the login or the protocol fails; the message says which and what to set.
    """
    host, _, port = server.rpartition(":")
    host = host.strip("[]")
    with _secured(socket.create_connection((host, int(port)), timeout), host, server, config) as connection:
        try:
            _ask(connection, _API_VERSIONS)
        except (OSError, struct.error) as error:
            raise SparkdlError(_no_answer(server, config, error)) from error
        if config.protocol.startswith("SASL"):
            _log_in(connection, server, config)
        else:
            _check_open(connection, server, config)


def _secured(connection: socket.socket, host: str, server: str, config: ClientConfig) -> socket.socket:
    """Return `connection`, wrapped in TLS if `config` requires it."""
    if config.ssl_context is None:
        return connection
    try:
        return config.ssl_context.wrap_socket(connection, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in _OTHER_HOST:
            raise SparkdlError(
                f"the certificate of Kafka at {server} is for another host ({error.verify_message}): use the name in "
                "it, or leave ssl.endpoint.identification.algorithm in --kafka-config empty"
            ) from error
        raise SparkdlError(
            f"the certificate of Kafka at {server} is not trusted ({error.verify_message}): "
            "name its authority by ssl.truststore.location in --kafka-config"
        ) from error
    except OSError as error:
        if _is_alert(error):
            raise SparkdlError(_no_answer(server, config, error)) from error
        raise SparkdlError(
            f"Kafka at {server} was reached but does not speak TLS, which security.protocol={config.protocol} in "
            f"--kafka-config asks for ({_reason(error)})"
        ) from error


def _log_in(connection: socket.socket, server: str, config: ClientConfig) -> None:
    from streaming.kafka.private import sasl_mechanism

    if config.token_provider is not None:
        config.token_provider.ensure()
    options = config.python_options({})
    name = options["sasl_mechanism"]
    mechanism = sasl_mechanism(name, {key: value for key, value in options.items() if key.startswith("sasl_")})
    try:
        code, mechanisms = _offer(connection, name)
        if code == _ILLEGAL_SASL_STATE:
            raise SparkdlError(
                f"Kafka at {server} takes no login: set security.protocol={config.protocol.removeprefix('SASL_')} in "
                "--kafka-config"
            )
        if code:
            raise SparkdlError(
                f"Kafka at {server} takes no login by {name}: set sasl.mechanism in --kafka-config to "
                f"{' or '.join(mechanisms)}"
            )
        while not mechanism.is_done():
            token = mechanism.auth_bytes()
            answer = _ask(connection, _SASL_AUTHENTICATE, struct.pack(">i", len(token)) + token)
            code, length = struct.unpack_from(">hh", answer)
            if code:
                said = answer[4 : 4 + max(length, 0)].decode(errors="replace")
                raise SparkdlError(f"Kafka at {server} refuses the credentials of --kafka-config: {said or code}")
            mechanism.receive(answer[4 + max(length, 0) + 4 :])
    except (OSError, struct.error, ValueError, LookupError) as error:
        raise SparkdlError(f"Kafka at {server} did not answer the login correctly: {_reason(error)}") from error


def _check_open(connection: socket.socket, server: str, config: ClientConfig) -> None:
    """Raise a SparkdlError if the broker asks for a login."""
    try:
        _, mechanisms = _offer(connection, "PLAIN")
    except (OSError, struct.error):
        return  # a broker without logins need not answer
    if mechanisms:
        sasl = {"PLAINTEXT": "SASL_PLAINTEXT", "SSL": "SASL_SSL"}[config.protocol]
        raise SparkdlError(
            f"Kafka at {server} asks for a login: give --kafka-config FILE with security.protocol={sasl}, "
            f"sasl.mechanism={' or '.join(mechanisms)} and sasl.jaas.config"
        )


def _offer(connection: socket.socket, mechanism: str) -> tuple[int, list[str]]:
    """Return the broker's error code for a SASL mechanism, and the mechanisms that it supports."""
    answer = _ask(connection, _SASL_HANDSHAKE, struct.pack(">h", len(mechanism)) + mechanism.encode())
    code, count = struct.unpack_from(">hi", answer)
    found, position = [], 6
    for _ in range(count):
        (length,) = struct.unpack_from(">h", answer, position)
        found.append(answer[position + 2 : position + 2 + length].decode(errors="replace"))
        position += 2 + length
    return code, found


def _ask(connection: socket.socket, request: tuple[int, int], body: bytes = b"") -> bytes:
    """Send a request and return the body of the answer."""
    message = struct.pack(">hhih", *request, 0, -1) + body
    connection.sendall(struct.pack(">i", len(message)) + message)
    (length,) = struct.unpack(">i", _receive(connection, 4))
    if not 4 <= length <= _MAX_ANSWER:
        raise ConnectionError("the answer is not Kafka's")
    return _receive(connection, length)[4:]


def _receive(connection: socket.socket, length: int) -> bytes:
    received = b""
    while len(received) < length:
        part = connection.recv(length - len(received))
        if not part:
            raise ConnectionError("the connection was closed")
        received += part
    return received


def _no_answer(server: str, config: ClientConfig, error: Exception) -> str:
    """Return a message that says why a broker may have closed the connection."""
    begin = f"Kafka at {server} was reached but does not answer as {config.protocol} ({_reason(error)})"
    if config.protocol == "PLAINTEXT":
        return f"{begin}; if it expects TLS or a login, give --kafka-config FILE"
    if config.protocol == "SASL_PLAINTEXT":
        return f"{begin}; if it expects TLS, set security.protocol=SASL_SSL in --kafka-config"
    if config.has_key:
        return f"{begin}; it may not trust the certificate of ssl.keystore.location in --kafka-config"
    return f"{begin}; if it asks for a certificate, name one by ssl.keystore.location in --kafka-config"


def _is_alert(error: OSError) -> bool:
    """Whether the server aborted the TLS handshake with an alert, and therefore speaks TLS."""
    return isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or "")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return getattr(error, "strerror", None) or str(error)
