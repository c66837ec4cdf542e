"""Scorers of the real-time mode: processes that answer encoded images with results over a Unix socket.

`python -m streaming.realtime.scorer MODEL` is started by `RealtimeScorer.java`, once an executor. It forks one scorer a
core, prints the path of their socket, forks another where one dies, and ends with its standard input. Scorers accept
from one socket, so an image goes to whoever is free. With `--follow` a file that replaces MODEL is tried by scorers of
its own; once each has classified an image, their socket takes the place of the old one, and the old scorers end when
they have answered what they had been asked.

Only this user can connect: the socket is in a private directory. A request and an answer are sequences of texts (a
32-bit length, -1 for null, and bytes) and numbers, all big-endian.
"""

from __future__ import annotations

import argparse
import os
import select
import shutil
import signal
import socket
import struct
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sparkdl.errors import SparkdlError
from sparkdl.formats.envelopes import Attributes
from sparkdl.spark.session import scratch_directory
from sparkdl.spark.worker_gc import freeze_gc
from sparkdl.system.files import write_atomically
from streaming.realtime.inference import Request, Scorer, failure
from streaming.realtime.model_file import ScorerModel, read_model

STATE = ".state"
"""The suffix of the file beside a followed MODEL that says what became of it: its ticket, and why it was refused."""
_TOGETHER = 8  # requests that are scored at once, as many as a network is run on
_POLL = 250  # milliseconds between two looks at a followed file
_READ_SECONDS = 10.0  # for the request of a client that has connected
_BESIDE_DECODING = 60  # seconds that a network may take for the images of one pass
_PAUSE = 0.1  # seconds before a scorer that died is followed by another
_BACKLOG = 1024


@dataclass
class Client:
    """A connection and what it asks."""

    connection: socket.socket
    request: Request

    @classmethod
    def accept(cls, listener: socket.socket) -> Client:
        """Accept a connection that waits.

        Raises
        ------
        BlockingIOError
            If none waits.
        OSError
            If the client has gone.
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
        """Send an answer, if the client is still there, and close the connection."""
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
    """A scorer has ended before it was ready."""


class Generation:
    """The scorers of one model, and their socket.

    Parameters
    ----------
    path
        Where to create the socket.
    count
        The number of scorers.
    old
        The scorers that these are to replace.

    Raises
    ------
    SparkdlError
        If a scorer fails to classify an image.
    EndedError
        If a scorer ends without a word: it was killed, or the network crashes it.
    """

    def __init__(self, model: ScorerModel, path: Path, count: int, old: Generation | None = None) -> None:
        self.model = model
        self._old = old
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(_BACKLOG)
        self.listener.setblocking(False)
        # Scorers end when the other end is closed, also because this process has died.
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
            raise SparkdlError(problems[0]) if problems else EndedError("a scorer ended when it was started")

    def fork(self, report: int | None = None) -> None:
        """Start a scorer, which writes to the descriptor `report` an empty line or why it failed."""
        pid = os.fork()
        if pid:
            self.pids.add(pid)
            return
        code = 1
        try:
            os.close(self._held)
            if self._old is not None:
                os.close(self._old._held)  # only its own process holds it
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._serve(report)
            code = 0
        except SparkdlError as error:
            sys.stderr.write(f"{error}\n")
        except Exception:  # noqa: BLE001 - of a defect; nothing of the parent may run here
            traceback.print_exc()
        finally:
            os._exit(code)

    def close(self) -> None:
        """Let the scorers end once no request is left."""
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
            # Whoever has just finished takes what waits. Whoever was idle takes one: the others may be idle too.
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
            except SparkdlError as error:  # of this machine: no image is to blame
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


class Supervisor:
    """Keeps scorers running, with the model in a file.

    Parameters
    ----------
    path
        The file of the model.
    count
        The number of scorers.
    follow
        Whether to take another file that replaces it, and to write `STATE`.
    """

    def __init__(self, path: Path, count: int, *, follow: bool) -> None:
        self._path, self._count, self._follow = path, count, follow
        self._directory = scratch_directory()
        self._number = 0
        self.socket = self._directory / "scorers"
        self._signature = self._look()
        self._current = self._start(None)

    def run(self) -> None:
        """Supervise the scorers until standard input ends, or the followed file is gone."""
        waking, woken = os.pipe()
        os.set_blocking(woken, False)
        os.set_blocking(waking, False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        poller = select.poll()
        poller.register(sys.stdin, select.POLLIN)
        poller.register(waking, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poller.poll(_POLL if self._follow else None)}
            if sys.stdin.fileno() in ready and not os.read(sys.stdin.fileno(), 1024):
                break
            if waking in ready:
                os.read(waking, 1024)
            self._replace_dead()
            if self._follow and (signature := self._look()) != self._signature:
                if signature is None:
                    break
                self._signature = signature
                self._change()
        self._current.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _replace_dead(self) -> None:
        with suppress(ChildProcessError):
            while (pid := os.waitpid(-1, os.WNOHANG)[0]) > 0:
                if pid in self._current.pids:
                    self._current.pids.remove(pid)
                    time.sleep(_PAUSE)
                    self._current.fork()

    def _look(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        return status.st_mtime_ns, status.st_ino

    def _start(self, old: Generation | None) -> Generation:
        for last in (False, False, True):
            self._number += 1
            beside = self._directory / f"scorers-{self._number}"
            try:
                generation = Generation(read_model(self._path), beside, self._count, old)
            except EndedError:
                if last:
                    raise
            else:
                break
        beside.rename(self.socket)  # from here on, whoever connects reaches the new scorers
        if self._follow:
            self._tell(generation.model.ticket, "")
        return generation

    def _change(self) -> None:
        old = self._current
        try:
            self._current = self._start(old)
        except SparkdlError as error:
            self._tell(read_model(self._path).ticket, str(error))
        else:
            old.close()

    def _tell(self, ticket: str, problem: str) -> None:
        write_atomically(state_of(self._path), f"{ticket} {problem}".strip())


def state_of(path: Path) -> Path:
    """Return the path of the state beside a followed model."""
    return path.with_name(path.name + STATE)


def main() -> None:
    """Run scorers until standard input ends; print the path of their socket, or why they cannot be started."""
    parser = argparse.ArgumentParser(description="Scorers of the real-time mode.")
    parser.add_argument("--scorers", type=int, default=0, help="number of processes; by default one a core")
    parser.add_argument("--follow", action="store_true", help="take another model that replaces the file")
    parser.add_argument("--check", action="store_true", help="classify one image, and end")
    parser.add_argument("model", type=Path)
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at the terminal is for the driver
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    with os.fdopen(os.dup(1), "w") as answer:
        os.dup2(2, 1)  # nothing else may print there
        try:
            if options.check:
                answer.write(Scorer(read_model(options.model)).trial())
                return
            freeze_gc()
            count = options.scorers or len(os.sched_getaffinity(0))
            supervisor = Supervisor(options.model, count, follow=options.follow)
        except SparkdlError as error:
            answer.write(f"{error}\n")
            return
        answer.write(f"{supervisor.socket}\n")
    supervisor.run()


if __name__ == "__main__":
    main()
