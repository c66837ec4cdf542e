"""Scorers of one model: processes that receive encoded images and return results over a Unix socket.

Requests and answers are sequences of texts (a 32-bit length, -1 for null, then the bytes) and numbers, all big-endian.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sparkdl.errors import SparkdlError
from sparkdl.formats.envelopes import Attributes
from streaming.realtime.inference import Request, Scorer, failure
from streaming.realtime.model_file import ScorerModel

_TOGETHER = 8  # requests per batch: the batch size of the network
_READ_SECONDS = 10.0  # for reading the request after a client has connected
_BESIDE_DECODING = 60  # seconds per request, in addition to decoding, until a scorer counts as hung
_BACKLOG = 1024


@dataclass
class Client:
    """A connection and its request."""

    connection: socket.socket
    request: Request

    @classmethod
    def accept(cls, listener: socket.socket) -> Client:
        """Accept a waiting connection.

        Raises
        ------
        BlockingIOError
            If no connection is waiting.
        OSError
            If the client has disconnected.
        """
        connection, _ = listener.accept()
        try:
            connection.settimeout(_READ_SECONDS)
            payload, content_type, version = (_read_text(connection) for _ in range(3))
        except BaseException:
            connection.close()
            raise
        texts = (None if text is None else text.decode() for text in (content_type, version))
        return cls(connection, Request(payload, Attributes(*texts)))

    def answer(self, content: bytes) -> None:
        """Send an answer if the client is still connected, then close the connection."""
        with self.connection, suppress(OSError):
            self.connection.sendall(content)


def _read_text(connection: socket.socket) -> bytes | None:
    (length,) = struct.unpack(">i", _read(connection, 4))
    return None if length < 0 else bytes(_read(connection, length))


def _read(connection: socket.socket, length: int) -> bytearray:
    content = bytearray(length)
    view = memoryview(content)
    while view:
        count = connection.recv_into(view)
        if not count:
            raise ConnectionError("the client closed the connection")
        view = view[count:]
    return content


class EndedError(SparkdlError):
    """A scorer ended before it was ready."""


class Generation:
    """The scorers of one model and their socket.

    Parameters
    ----------
    path
        The path of the socket to create.
    count
        The number of scorers.
    old
        The scorers to replace.

    Raises
    ------
    SparkdlError
        If a scorer fails to classify an image.
    EndedError
        If a scorer ends without a message: it was killed, or the network crashed it.
    """

    def __init__(self, model: ScorerModel, path: Path, count: int, old: Generation | None = None) -> None:
        self.model = model
        self._old = old
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(_BACKLOG)
        self.listener.setblocking(False)
        # Scorers end when the other end is closed, which also happens if this process dies.
        self._control, self._held = os.pipe()
        self.pids: set[int] = set()
        reading, writing = os.pipe()
        for _ in range(count):
            self.fork(writing)
        self._old = None
        os.close(writing)
        with os.fdopen(reading) as reports:
            said = reports.read().splitlines()
        problems = [line for line in said if line]
        if problems or len(said) < count:
            self.close()
            raise SparkdlError(problems[0]) if problems else EndedError("a scorer ended during its start")

    def fork(self, report: int | None = None) -> None:
        """Start a scorer. It writes one line to the descriptor `report`: why it failed, or an empty line."""
        pid = os.fork()
        if pid:
            self.pids.add(pid)
            return
        code = 1
        try:
            os.close(self._held)
            if self._old is not None:
                os.close(self._old._held)  # only its own process may keep it open
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._serve(report)
            code = 0
        except SparkdlError as error:
            sys.stderr.write(f"{error}\n")
        except Exception:  # noqa: BLE001 - a defect; no code of the parent may run here
            traceback.print_exc()
        finally:
            os._exit(code)

    def close(self) -> None:
        """Let the scorers end after the last waiting request."""
        for descriptor in (self._held, self._control):
            os.close(descriptor)
        self.listener.close()

    def _serve(self, report: int | None) -> None:
        problem = ""
        try:
            scorer = Scorer(self.model)
            problem = scorer.trial()
        except SparkdlError as error:
            problem = str(error)
        if report is not None:
            os.write(report, f"{' '.join(problem.split())}\n".encode())
            os.close(report)
        if problem:
            raise SparkdlError(f"the scorer ends: {problem}")
        poller = select.poll()
        poller.register(self.listener, select.POLLIN)
        poller.register(self._control, select.POLLIN)
        limit = _BESIDE_DECODING + 3 * round(self.model.limits.timeout)
        is_ending = False
        while True:
            # A scorer that has just finished takes all waiting requests; an idle one takes one, as others may be idle.
            clients = self._accept(_TOGETHER)
            if not clients:
                if is_ending:
                    return
                is_ending = any(descriptor == self._control for descriptor, _ in poller.poll())
                clients = self._accept(1)
                if not clients:
                    continue
            signal.alarm(limit * len(clients))  # ends a scorer that hangs
            try:
                answers = scorer.score([client.request for client in clients])
            except SparkdlError as error:  # a failure of this machine, not of an image
                answers = [failure(str(error))] * len(clients)
            signal.alarm(0)
            for client, content in zip(clients, answers, strict=True):
                client.answer(content)

    def _accept(self, limit: int) -> list[Client]:
        clients: list[Client] = []
        while len(clients) < limit:
            try:
                clients.append(Client.accept(self.listener))
            except BlockingIOError:
                break
            except OSError:
                continue
        return clients
