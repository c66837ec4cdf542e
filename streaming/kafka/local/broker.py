"""A local Apache Kafka broker, kept in its own directory."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import re
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import psutil

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.spark.java import ensure_java
from sparkdl.system.files import write_atomically
from sparkdl.system.subprocesses import python_command, python_environment
from streaming.kafka.local.jars import broker_jars
from streaming.kafka.local.listeners import (
    CONTROLLER,
    HOST,
    PROPERTIES,
    choose_ports,
    listener_settings,
    ports_in,
    takes_connections,
)
from streaming.kafka.local.programs import command_line, end, error_of, is_alive, run_unseen

_HEAP = "512m"
_START = 120.0  # seconds in which the broker must accept requests
_POLL = 0.05  # seconds
_STARTED = b"Kafka Server started"
_SETTINGS, _LOG, _PID, _LOCK = "server.properties", "broker.log", "broker.pid", ".lock"


@dataclass(frozen=True)
class Status:
    """The status of a broker.

    Attributes
    ----------
    running
        Whether its process is alive and accepts connections.
    address
        Its current or last address, `127.0.0.1:PORT`; None if it was never started.
    pid
        The id of its process, None if there is none.
    """

    running: bool
    address: str | None
    pid: int | None


class Broker:
    """A single-node Kafka (KRaft: broker and controller in one process) that listens on the loopback interface only.

    Settings, data and log are kept in `directory`, so a restarted broker keeps its topics and its port. It runs in a
    separate session and continues after the process that started it has ended; use `running` for a broker that stops
    with it.

    Parameters
    ----------
    directory
        The directory of the broker; created at the first start.
    listeners
        One or more of PLAINTEXT, SSL, SASL_PLAINTEXT and SASL_SSL; all but the first get a free port.
    properties
        Additional broker settings of Kafka, which override `PROPERTIES`.
    scram
        Users of SASL/SCRAM and their passwords; created at the first start only.

    Examples
    --------
    >>> Broker("/nowhere/kafka").status()
    Status(running=False, address=None, pid=None)
    """

    def __init__(
        self,
        directory: Path | str,
        *,
        listeners: Sequence[str] = ("PLAINTEXT",),
        properties: Mapping[str, str] | None = None,
        scram: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = Path(directory).absolute()
        self._listeners = tuple(listeners)
        self._properties = dict(properties or {})
        self._scram = dict(scram or {})
        for user, password in self._scram.items():
            if not re.fullmatch(r"[!-~]+", user + password) or set(user + password) & set(",=[]'\"\\"):
                raise RequestError(
                    f"expected the SCRAM user {user!r} and the password to be of printable ASCII without , = [ ] \\ "
                    "and quotes"
                )

    @property
    def log(self) -> Path:
        """The file of the broker's warnings and errors."""
        return self.directory / _LOG

    def addresses(self) -> dict[str, str]:
        """Return `127.0.0.1:PORT` of each listener, by its name."""
        return {name: f"{HOST}:{port}" for name, port in self._ports().items() if name != CONTROLLER}

    def status(self) -> Status:
        """Return the status of the broker in this directory, whichever process started it."""
        process = self._process()
        address = next(iter(self.addresses().values()), None)
        running = process is not None and address is not None and takes_connections(address)
        return Status(running, address, process.pid if process else None)

    def start(self, port: int | None = None, on_progress: Callable[[int, int], None] | None = None) -> str:
        """Start the broker unless it is running, and return the address of its first listener once it accepts requests.

        Parameters
        ----------
        port
            The port of the first listener: 0 for a free port, None for the last port or 9092.
        on_progress
            See `sparkdl.spark.jars.fetch_jars`.

        Raises
        ------
        RequestError
            If the port is taken, or the directory cannot be used.
        SparkdlError
            If Java is missing, the jars cannot be downloaded, or the broker fails to start; the message says why.
        """
        with self._locked():
            if (process := self._process()) is not None:
                self._wait(process, lambda: self.status().running)
                return str(self.status().address)
            ports = choose_ports(self._listeners, port, self._ports())
            settings = {**PROPERTIES, **listener_settings(ports), **self._properties}
            java = ensure_java()
            jars = broker_jars(on_progress)
            self.directory.chmod(0o700)  # settings may hold passwords, the data holds images
            (self.directory / _SETTINGS).write_text("".join(_line(*item) for item in settings.items()), "ascii")
            if not (self.directory / settings["log.dirs"] / "meta.properties").is_file():
                self._format(command_line(java, jars, "kafka.tools.StorageTool"))
            self._launch(command_line(java, jars, "kafka.Kafka", _HEAP, (self._mark,)))
        return next(iter(self.addresses().values()))

    def stop(self) -> bool:
        """Stop the broker if it is running, and return whether it was; its data is kept.

        The process gets SIGTERM, and SIGKILL after 30 s.
        """
        if not self.directory.is_dir():
            return False
        with self._locked():
            process = self._process()
            if process is not None:
                end(process)
            (self.directory / _PID).unlink(missing_ok=True)
            return process is not None

    @contextmanager
    def running(self, port: int | None = None, on_progress: Callable[[int, int], None] | None = None) -> Iterator[str]:
        """Run the broker for the duration of a `with` block, which receives its address; see `start`.

        The broker also stops if this process is killed, by any signal.

        Raises
        ------
        RequestError
            If the broker is already running, so that the block must not stop it.
        """
        if self.status().pid is not None:
            raise RequestError(f"a broker is already running in {self.directory}: stop it first")
        # Its pipe is closed when this process ends, however it ends.
        command = python_command("-c", _WATCH, str(self.directory))
        watch = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, env=python_environment())
        try:
            yield self.start(port, on_progress)
        finally:
            try:
                self.stop()
            finally:
                watch.communicate()

    @property
    def _mark(self) -> str:
        """An argument that identifies the process of the broker, because its process id may have been reused."""
        return f"-Dsparkdl.broker={self.directory.resolve()}"

    def _process(self) -> psutil.Process | None:
        try:
            process = psutil.Process(int((self.directory / _PID).read_text()))
            return process if is_alive(process) and self._mark in process.cmdline() else None
        except (OSError, ValueError, psutil.Error):
            return None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one process at a time start or stop the broker."""
        try:
            if self.directory.is_dir() and any(self.directory.iterdir()) and not (self.directory / _LOCK).exists():
                raise RequestError(f"{self.directory} is not empty and holds no broker: name another directory")
            self.directory.mkdir(parents=True, exist_ok=True)
            lock = (self.directory / _LOCK).open("w")
        except OSError as error:
            raise RequestError(f"{self.directory} cannot be used: {error.strerror}") from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _ports(self) -> dict[str, int]:
        """Return the port of each listener, by its name, from the settings of the last start."""
        try:
            return ports_in((self.directory / _SETTINGS).read_text())
        except OSError:
            return {}

    def _format(self, tool: list[str]) -> None:
        """Format the data directory; only this step can create SCRAM users before any client has to log in."""
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        users = [
            f"--add-scram={mechanism}=[name={user},password={password}]"
            for user, password in self._scram.items()
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
        ]
        # An id must not look like an option.
        arguments = ["format", f"--cluster-id={cluster}", f"--config={_SETTINGS}", *users]
        done = run_unseen(tool, arguments, self.directory)
        if done.returncode:
            raise SparkdlError(f"the broker cannot prepare {self.directory}: {error_of(done.stdout + done.stderr)}")

    def _launch(self, command: list[str]) -> None:
        with self.log.open("ab") as log:
            begin = log.tell()
            process = psutil.Popen(
                [*command, _SETTINGS],
                cwd=self.directory,
                # Otherwise Java could not open paths with arbitrary characters.
                env={**os.environ, "LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                umask=0o077,  # hides images and topic names from other users
            )
        try:
            write_atomically(self.directory / _PID, f"{process.pid}\n")
            self._wait(process, lambda: _STARTED in self._said(begin), begin)
        except BaseException:
            end(process)
            raise

    def _wait(self, process: psutil.Process, ready: Callable[[], bool], begin: int = 0) -> None:
        """Wait until the broker is `ready`."""
        deadline = time.monotonic() + _START
        while not ready():
            if not is_alive(process):
                said = self._said(begin).decode(errors="replace")
                raise SparkdlError(f"the broker failed to start: {error_of(said)} (see {self.log})")
            if time.monotonic() > deadline:
                raise SparkdlError(f"the broker accepts no requests after {_START:.0f} s: see {self.log}")
            time.sleep(_POLL)

    def _said(self, begin: int) -> bytes:
        with self.log.open("rb") as log:
            log.seek(begin)
            return log.read()


# A program that stops the broker when the process that started it ends: then reading stdin returns.
_WATCH = """
import sys
sys.stdin.read()
from streaming.kafka.local.broker import Broker
broker = Broker(sys.argv[1])
if broker.status().pid:
    broker.stop()
"""


def default_directory() -> Path:
    """Return the default directory of the broker of `sparkdl kafka`, in the user's data directory."""
    return Path(platformdirs.user_data_path("sparkdl-streaming")) / "kafka"


def _line(key: str, value: str) -> str:
    """Return a line of a properties file, with the escapes of JSON, which Java reads too."""
    return f"{key}={json.dumps(value)[1:-1]}\n"
