"""Lifecycle of a worker's decoder process: starts a template once, then forks and ends decoders."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

from sparkdl.decoding.isolation.server import FILTERED, FORK, KILL, NUMBER, WAIT
from sparkdl.errors import SparkdlError
from sparkdl.images.rejection import Limits
from sparkdl.system.subprocesses import minimal_environment, python_command

PROGRAM = ("-m", "sparkdl.decoding.isolation.server")
"""Python arguments that run the template. Tests of hostile decoders pass another program with the same arguments."""
_START_SECONDS = 60.0
_ANSWER_SECONDS = 30.0  # for the template, which only forks and waits, even on a very busy machine
_LEAVE_SECONDS = 5.0
_MAX_STDERR_BYTES = 65_536  # bytes to read from the template's stderr
_BYTES_A_PIXEL = 24
_MEMORY_BESIDE = 128 * 2**20
# No other variable of the worker's environment is needed, and others may contain passwords.
_KEPT = (
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "DYLD_FALLBACK_LIBRARY_PATH",
    "PYTHONHOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
)
# A decoder processes one image at a time; by default numpy and malloc reserve memory for one thread per core.
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}


def memory_for(limits: Limits) -> int:
    """Return the bytes that a decoder may allocate in addition to its initial memory.

    24 bytes per pixel (the measured maximum over all modes of all formats is 22), three times the payload, and 128 MiB.
    """
    return _BYTES_A_PIXEL * limits.max_pixels + 3 * limits.max_bytes + _MEMORY_BESIDE


class DecoderProcess:
    """The template process and, between `fork` and `end`, one decoder.

    Parameters
    ----------
    descriptor
        The descriptor of the shared memory; see `sparkdl.decoding.isolation.shared_memory`.
    numbers
        `max_bytes`, `max_pixels` and the memory limit of a decoder in bytes.
    program
        See `PROGRAM`.
    """

    def __init__(self, descriptor: int, numbers: Sequence[int], program: Sequence[str] = PROGRAM) -> None:
        self.forks = 0
        """The number of decoders forked so far."""
        self.pid: int | None = None
        """The process id of the decoder, if there is one."""
        self.is_filtered = False
        """Whether the system calls of the decoders are filtered."""
        self._descriptor = descriptor
        self._numbers = tuple(numbers)
        self._program = tuple(program)
        self._template: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._link: socket.socket | None = None

    @property
    def link(self) -> socket.socket | None:
        """The socket of the decoder, if there is one."""
        return self._link

    def fork(self) -> socket.socket:
        """Fork a decoder and return the socket to it; start the template if there is none.

        Raises
        ------
        SparkdlError
            If that fails twice; the message has the last line of the template's stderr.
        """
        for last in (False, True):
            control = self._control or self._start()
            ours, theirs = socket.socketpair()
            try:
                with theirs:
                    socket.send_fds(control, [FORK], [theirs.fileno()])
                self.pid = self._answer(control)
            except OSError as error:  # the template was killed
                ours.close()
                printed = self.close()
                if last:
                    raise SparkdlError(f"the decoder process cannot be started: {printed or error}") from error
            else:
                break
        self._link = ours
        self.forks += 1
        return ours

    def end(self, *, at_once: bool) -> int | None:
        """End the decoder, wait for it, and return its exit code, negative for a signal.

        Unless `at_once`, a decoder that is about to end by itself gets time to do so. Returns None if the template does
        not answer: then the template is ended too, and it is unknown whether the decoder still runs.
        """
        assert self._link  # a decoder was forked
        assert self._control
        self._link.close()
        self._link = self.pid = None
        try:
            self._control.sendall(KILL if at_once else WAIT)
            return os.waitstatus_to_exitcode(self._answer(self._control))
        except (OSError, ValueError):
            self.close()
            return None

    def close(self) -> str:
        """End the template and its decoder; return the last line of the template's stderr."""
        template, control = self._template, self._control
        self._template = self._control = None
        if self._link:
            self._link.close()
        self._link = self.pid = None
        if template is None or control is None:
            return ""
        control.close()
        assert template.stderr
        with suppress(subprocess.TimeoutExpired):
            template.wait(_LEAVE_SECONDS)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(template.pid, signal.SIGKILL)
        template.wait()
        # Do not wait for a process that holds the other end.
        os.set_blocking(template.stderr.fileno(), False)
        printed = (template.stderr.read(_MAX_STDERR_BYTES) or b"").decode("utf-8", "replace")
        template.stderr.close()
        if printed:
            sys.stderr.write(printed)
        return next(reversed(printed.strip().splitlines()), "")

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        numbers = (self._descriptor, os.getpid(), *self._numbers)
        with theirs:
            try:
                self._template = subprocess.Popen(
                    python_command(*self._program, *map(str, numbers)),
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    bufsize=0,
                    pass_fds=(self._descriptor,),
                    env=minimal_environment(_KEPT, _ONE_THREAD),
                    start_new_session=True,  # Ctrl-C at the terminal is for the driver
                )
            except OSError as error:
                ours.close()
                raise SparkdlError(f"the decoder process cannot be started: {error}") from error
        self._control = ours
        ours.settimeout(_START_SECONDS)
        try:
            ready = ours.recv(1)
        except OSError:
            ready = b""
        if not ready:
            raise SparkdlError(f"the decoder process did not start: {self.close()}")
        self.is_filtered = ready == FILTERED
        return ours

    @staticmethod
    def _answer(control: socket.socket) -> int:
        control.settimeout(_ANSWER_SECONDS)
        answer = b""
        while len(answer) < NUMBER.size:
            part = control.recv(NUMBER.size - len(answer))
            if not part:
                raise ConnectionError("the template has ended")
            answer += part
        return int(NUMBER.unpack(answer)[0])
