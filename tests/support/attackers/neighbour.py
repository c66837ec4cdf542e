"""What another user of the machine can do: run a function as somebody else, and speak Spark's protocol to a port."""

from __future__ import annotations

import encodings.idna  # noqa: F401 - sockets need it, and another user may not read this Python
import os
import pickle
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

NOBODY = 65534
"""The user and group that attacks come from where the tests run as root, as they do in CI."""

_FETCH, _FETCHED, _REQUEST, _ANSWER, _FAILURE = 0, 1, 3, 4, 5  # types of messages of org.apache.spark.network.protocol
_LONGEST_FRAME = 1 << 20  # bytes
_CONNECTING, _PATIENCE = 10.0, 3.0  # seconds to connect, and for an answer
_OPEN_BLOCKS, _UPLOAD_BLOCK, _STREAM = 0, 1, 3  # types of org.apache.spark.network.shuffle.protocol


def as_neighbour(function: Callable[[], T]) -> T:
    """What `function` gives in a process of another user; of this user where the tests are not root's."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            try:
                answer: tuple[bool, Any] = True, function()
            except Exception as error:  # noqa: BLE001 - handed on
                answer = False, repr(error)
            with os.fdopen(writing, "wb") as pipe:
                pickle.dump(answer, pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        content = pipe.read()
    os.waitpid(child, 0)
    worked, value = pickle.loads(content)
    assert worked, value
    return value  # type: ignore[no-any-return]


class Answer(NamedTuple):
    """What a server of Spark said: `kind` is one of the types above, None if it hung up or kept silent."""

    kind: int | None
    body: bytes

    @property
    def was_served(self) -> bool:
        """Whether it did what it was asked for."""
        return self.kind in (_ANSWER, _FETCHED)


class BlockClient:
    """Spark's block transfer protocol, without any credentials.

    Frames, as `org.apache.spark.network.util.TransportFrameDecoder` and `MessageEncoder` have them: the length of the
    frame in 8 bytes, the type of the message in 1, its header, its body.
    """

    def __init__(self, port: int) -> None:
        self._socket = socket.socket()
        with suppress(OSError):  # a port that Spark opens for one visitor and for a moment may take nobody: no answer
            self._socket.settimeout(_CONNECTING)
            self._socket.connect(("127.0.0.1", port))
        self._socket.settimeout(_PATIENCE)
        self._stream = self._socket.makefile("rb")

    def read_block(self, block: str, app: str) -> Answer:
        """The bytes of a block of the block manager."""
        opened = self.ask(bytes([_OPEN_BLOCKS]) + _text(app) + _text("driver") + struct.pack(">i", 1) + _text(block))
        if not opened.was_served or opened.body[:1] != bytes([_STREAM]):
            return opened
        return self._send(bytes([_FETCH]) + opened.body[1:9] + struct.pack(">i", 0), b"")

    def upload_block(self, block: str, app: str, metadata: bytes, data: bytes) -> Answer:
        """Put a block into the block manager; `metadata` is Java's serialisation of its storage level and class tag."""
        parts = [_text(app), _text("driver"), _text(block), *(struct.pack(">i", len(b)) + b for b in (metadata, data))]
        return self.ask(bytes([_UPLOAD_BLOCK]) + b"".join(parts))

    def ask(self, body: bytes) -> Answer:
        """What an RPC with this body is answered."""
        return self._send(bytes([_REQUEST]) + struct.pack(">qi", 7, len(body)), body)

    def _send(self, header: bytes, body: bytes) -> Answer:
        with suppress(OSError):
            self._socket.sendall(struct.pack(">q", 8 + len(header) + len(body)) + header + body)
            (length,) = struct.unpack(">q", self._read(8))
            if not 8 < length < _LONGEST_FRAME:
                raise ConnectionError("not Spark's protocol")
            frame = self._read(length - 8)
            head = {_ANSWER: 13, _FAILURE: 13, _FETCHED: 13}.get(frame[0], 1)
            return Answer(frame[0], frame[head:])
        return Answer(None, b"")

    def _read(self, count: int) -> bytes:
        content = self._stream.read(count)
        if len(content) < count:
            raise ConnectionError("hung up")
        return content


def rpc_message(host: str, port: int, endpoint: str, content: bytes) -> bytes:
    """A message to an endpoint of a driver, as `org.apache.spark.rpc.netty.RequestMessage` has it.

    Parameters
    ----------
    content
        In Java's serialisation.
    """
    names = [struct.pack(">H", len(name)) + name.encode() for name in (host, endpoint)]
    return b"\0\1" + names[0] + struct.pack(">i", port) + names[1] + content


def _text(value: str) -> bytes:
    return struct.pack(">i", len(value)) + value.encode()
