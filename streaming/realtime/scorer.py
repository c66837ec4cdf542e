"""The process that starts and supervises the scorers of the real-time mode.

`python -m streaming.realtime.scorer MODEL` is started by `RealtimeScorer.java`, once an executor. It forks one scorer a
core, prints the path of their socket, forks another where one dies, and ends with its standard input. Scorers accept
from one socket, so an image goes to whoever is free. With `--follow` a file that replaces MODEL is tried by scorers of
its own; once each has classified an image, their socket takes the place of the old one, and the old scorers end when
they have answered what they had been asked.

Only this user can connect: the socket is in a private directory.
"""

from __future__ import annotations

import argparse
import os
import select
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from sparkdl.errors import SparkdlError
from sparkdl.spark.session import scratch_directory
from sparkdl.spark.worker_gc import freeze_gc
from sparkdl.system.files import write_atomically
from streaming.realtime.generation import EndedError, Generation
from streaming.realtime.inference import Scorer
from streaming.realtime.model_file import read_model

STATE = ".state"
"""The suffix of the file beside a followed MODEL that says what became of it: its ticket, and why it was refused."""
_POLL = 250  # milliseconds between two looks at a followed file
_PAUSE = 0.1  # seconds before a scorer that died is followed by another


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
