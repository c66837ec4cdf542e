"""Supervisor process of the scorers of the real-time mode.

`RealtimeScorer.java` starts `python -m streaming.realtime.scorer MODEL` once per executor. The process forks one scorer
per core, prints the path of their socket, replaces scorers that die, and ends when its standard input ends. All scorers
accept from one socket, so an image goes to a free scorer. With `--follow`, new scorers try each file that replaces
MODEL. When each of them has classified an image, their socket replaces the old one. The old scorers answer their last
requests and end.

Only the same user can connect, because the socket is in a private directory.
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
"""The suffix of the status file of a followed MODEL, which holds its ticket and, if it was refused, the reason."""
_POLL = 250  # milliseconds between two checks of a followed file
_PAUSE = 0.1  # seconds before a dead scorer is replaced


class Supervisor:
    """Keeps scorers running for the model in a file.

    Parameters
    ----------
    path
        The model file.
    count
        The number of scorers.
    follow
        Whether to switch to a file that replaces it, and to write the status file `STATE`.
    """

    def __init__(self, path: Path, count: int, *, follow: bool) -> None:
        self._path, self._count, self._follow = path, count, follow
        self._directory = scratch_directory()
        self._number = 0
        self.socket = self._directory / "scorers"
        self._signature = self._look()
        self._current = self._start(None)

    def run(self) -> None:
        """Supervise the scorers until standard input ends or the followed file is removed."""
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
        beside.rename(self.socket)  # from now on, clients connect to the new scorers
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
    """Return the path of the status file of a followed model."""
    return path.with_name(path.name + STATE)


def main() -> None:
    """Run scorers until standard input ends; print the path of their socket, or why they could not start."""
    parser = argparse.ArgumentParser(description="Scorers of the real-time mode.")
    parser.add_argument("--scorers", type=int, default=0, help="number of processes; by default one per core")
    parser.add_argument("--follow", action="store_true", help="switch to a model that replaces the file")
    parser.add_argument("--check", action="store_true", help="classify one image, then exit")
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
