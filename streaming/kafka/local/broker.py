"""A real Apache Kafka on this machine: a broker in a directory of its own."""

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
_START = 120.0  # seconds for the broker to take requests
_POLL = 0.05  # seconds
_STARTED = b"Kafka Server started"
_SETTINGS, _LOG, _PID, _LOCK = "server.properties", "broker.log", "broker.pid", ".lock"


@dataclass(frozen=True)
class Status:
    """What is known of a broker.

    Attributes
    ----------
    running
        Whether its process lives and takes connections.
    address
        `127.0.0.1:PORT`, where it is or was last; None if it never was anywhere.
    pid
        Its process, None if there is none.
    """

    running: bool
    address: str | None
    pid: int | None


class Broker:
    """A single-node Kafka (KRaft: broker and controller in one process) that listens on the loopback interface only.

    Settings, data and log are kept in `directory`, so a broker that is started again has its topics and its port. It
    runs in a session of its own, and goes on when the process that started it ends; `running` is for one that does not.

    Parameters
    ----------
    directory
        Where it is kept; made at the first start.
    listeners
        One or more of PLAINTEXT, SSL, SASL_PLAINTEXT and SASL_SSL; all but the first get a free port.
    properties
        More of Kafka's broker settings; they override `PROPERTIES`.
    scram
        Users of SASL/SCRAM and their passwords; they are made at the very first start.

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
        """Where the broker writes warnings and errors."""
        return self.directory / _LOG

    def addresses(self) -> dict[str, str]:
        """`127.0.0.1:PORT` of each listener, by its name."""
        return {name: f"{HOST}:{port}" for name, port in self._ports().items() if name != CONTROLLER}

    def status(self) -> Status:
        """What is known of the broker of this directory, whoever started it."""
        process = self._process()
        address = next(iter(self.addresses().values()), None)
        running = process is not None and address is not None and takes_connections(address)
        return Status(running, address, process.pid if process else None)

    def start(self, port: int | None = None, on_progress: Callable[[int, int], None] | None = None) -> str:
        """Starts the broker, unless it runs, and returns the address of its first listener once it takes requests.

        Parameters
        ----------
        port
            Of the first listener; 0 for a free one, None for that of last time or else 9092.
        on_progress
            See `sparkdl.spark.jars.fetch_jars`.

        Raises
        ------
        RequestError
            If the port is taken, or the directory cannot be used.
        SparkdlError
            If there is no Java, the jars cannot be had, or the broker ends instead of starting; the message says why.
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
        """Stops the broker, if it runs, and returns whether it did; its data stays.

        It is asked to end, and killed if it has not after 30 s.
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
        """The broker for the length of a `with` block, which gets its address: see `start`.

        It is also stopped if this process is killed in the meantime, by any signal.

        Raises
        ------
        RequestError
            If it runs already: then it is not this block's to stop.
        """
        if self.status().pid is not None:
            raise RequestError(f"a broker runs in {self.directory} already: stop it first")
        # Its pipe is closed when this process ends, however it does.
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
        """An argument of the broker's process by which it is known, whatever else may have got its process id."""
        return f"-Dsparkdl.broker={self.directory.resolve()}"

    def _process(self) -> psutil.Process | None:
        try:
            process = psutil.Process(int((self.directory / _PID).read_text()))
            return process if is_alive(process) and self._mark in process.cmdline() else None
        except (OSError, ValueError, psutil.Error):
            return None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One at a time starts or stops the broker of a directory."""
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
        """The port of each listener, by its name, from the settings of the last start."""
        try:
            return ports_in((self.directory / _SETTINGS).read_text())
        except OSError:
            return {}

    def _format(self, tool: list[str]) -> None:
        """Prepares the data directory; only here can users of SCRAM be known before any client has to be one."""
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
                # So that Java can open paths of any characters.
                env={**os.environ, "LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                umask=0o077,  # other users read neither images nor topics' names
            )
        try:
            write_atomically(self.directory / _PID, f"{process.pid}\n")
            self._wait(process, lambda: _STARTED in self._said(begin), begin)
        except BaseException:
            end(process)
            raise

    def _wait(self, process: psutil.Process, ready: Callable[[], bool], begin: int = 0) -> None:
        """Returns when the broker is `ready`."""
        deadline = time.monotonic() + _START
        while not ready():
            if not is_alive(process):
                said = self._said(begin).decode(errors="replace")
                raise SparkdlError(f"the broker ended at its start: {error_of(said)} (see {self.log})")
            if time.monotonic() > deadline:
                raise SparkdlError(f"the broker takes no requests after {_START:.0f} s: see {self.log}")
            time.sleep(_POLL)

    def _said(self, begin: int) -> bytes:
        with self.log.open("rb") as log:
            log.seek(begin)
            return log.read()


# The program beside a broker that is not to outlive the process that started it: it waits for that process to end.
_WATCH = """
import sys
sys.stdin.read()
from streaming.kafka.local.broker import Broker
broker = Broker(sys.argv[1])
if broker.status().pid:
    broker.stop()
"""


def default_directory() -> Path:
    """Where `sparkdl kafka` keeps its broker unless it is told: in the user's data directory."""
    return Path(platformdirs.user_data_path("sparkdl-streaming")) / "kafka"


def _line(key: str, value: str) -> str:
    """A line of a properties file, which Java reads with the escapes that JSON has."""
    return f"{key}={json.dumps(value)[1:-1]}\n"
