"""The worker's side of the decoder process: one process a worker, so that an image that kills it costs one image.

A Spark worker starts its decoder (`sparkdl.decoder`) at its first image and keeps it. A batch goes there and back in
shared memory (`sparkdl.exchange`) with one small message each way. A decoder that dies is replaced; the image that it
was in is tried once more alone, because whoever killed it may have meant another. A decoder that is in one image for
longer than `Limits.timeout` is killed.

Memory: a decoder has about 35 MB, and while it decodes at most `memory_for(limits)` more, which is enforced; the
shared memory is at most `sparkdl.exchange.PIXEL_BYTES` and one longest payload. With the default limits that is 1.6 GB
where a picture needs all of it, and 40 MB with small images. The worker holds the pixels of one Arrow batch: at most
3 MiB an image, see `sparkdl.pixels.reduced`.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparkdl.errors import SparkdlError
from sparkdl.exchange import Exchange, make_file
from sparkdl.pixels import Pixels
from sparkdl.rejection import Limits, Reason, Rejected

_START_SECONDS = 60.0
_LEAVE_SECONDS = 5.0
_MOST_ENDS = 3
"""Decoders in a row that may end without being in an image."""
# A decoder works on one image at a time; numpy would make room for a thread a core.
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_BYTES_A_PIXEL = 24
_MEMORY_BESIDE = 128 * 2**20
_LOOKS = 20  # at the decoder's progress, until it is too late
_LONGEST_LOOK = 0.5  # seconds


def memory_for(limits: Limits) -> int:
    """Bytes that a decoder may take beyond what it has at its start: payload, pixels, and what codecs need beside them.

    24 bytes a pixel (the most that any mode of any format was seen to take is 22), three times the payload, 128 MiB.
    """
    return _BYTES_A_PIXEL * limits.max_pixels + 3 * limits.max_bytes + _MEMORY_BESIDE


@dataclass
class Decoded:
    """The outcomes of N payloads.

    Attributes
    ----------
    shapes
        int64 [N, 3]: height, width and channels (1 or 3) of each image; 0, 0, 0 of a refused one.
    pixels
        The pixels of all images, one after the other: uint8 [height, width, channels] each, gray or BGR.
    rejected
        Why an image was refused, by its index.
    """

    shapes: npt.NDArray[np.int64]
    pixels: bytearray
    rejected: dict[int, Rejected]

    def images(self) -> list[Pixels]:
        """The images that were not refused, in order, as views of `pixels`."""
        flat = np.frombuffer(self.pixels, np.uint8)
        parts = np.split(flat, np.cumsum(self.shapes.prod(axis=1))[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, self.shapes.tolist(), strict=True) if part.size]


@dataclass(frozen=True)
class _End:
    """How a decoder ended before it had answered."""

    reason: Reason
    words: str


class Decoder:
    """Decodes batches in a process of its own, which is started when it is needed.

    Any number of threads may ask; one is served at a time.

    Parameters
    ----------
    limits
        As for `sparkdl.decoding.decode`; and `timeout`, how long one image may take.
    memory
        Bytes that the process may take beyond what it has at its start. Default: `memory_for(limits)`.
    """

    def __init__(self, limits: Limits, memory: int | None = None) -> None:
        self.limits = limits
        self.starts = 0
        """Processes that were started."""
        self.owner = os.getpid()
        self._memory = memory_for(limits) if memory is None else memory
        self._file = make_file(limits.max_bytes)
        self._exchange = Exchange(self._file.fileno(), limits.max_bytes)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        """The process that decodes, if there is one."""
        return self._process.pid if self._process else None

    @property
    def begun(self) -> int:
        """How many images the process has begun, of those that it was asked for last."""
        return self._exchange.begun

    def decode(self, payloads: Sequence[memoryview | None], *, gray: bool = False) -> Decoded:
        """The outcome of each payload, as of `sparkdl.decoding.decode` with `reduce` and `gray`.

        Raises
        ------
        SparkdlError
            If no decoder can be started, or each ends before it begins an image.
        """
        with self._lock:
            return self._decode(payloads, gray)

    def close(self) -> None:
        """Ends the process; another call of `decode` starts one again."""
        with self._lock:
            if self._process:
                self._end(_End(Reason.DECODER_CRASHED, "closed"))

    def _decode(self, payloads: Sequence[memoryview | None], gray: bool) -> Decoded:
        decoded = Decoded(np.zeros((len(payloads), 3), np.int64), bytearray(), {})
        row, blameless = 0, 0
        first: _End | None = None  # how the decoder ended when it was in image `row` for the first time
        while row < len(payloads):
            end = self._ask(payloads[row : row + 1 if first else None], gray)
            shapes, pixels, rejected = self._exchange.read()
            decoded.shapes[row : row + len(shapes)] = shapes
            decoded.pixels += pixels
            decoded.rejected.update({row + index: why for index, why in rejected.items()})
            row += len(shapes)
            if len(shapes):
                first, blameless = None, 0
            if end is None and not 0 < len(shapes) == self._exchange.done:
                end = self._end(_End(Reason.DECODER_CRASHED, "the decoder's answer makes no sense"))
            if end is None:
                continue
            if self._exchange.begun == len(shapes):
                blameless += 1
                if blameless == _MOST_ENDS:
                    raise SparkdlError(f"the decoder process ends before it decodes anything: {end.words}")
            elif end.reason is Reason.DECODER_CRASHED and first is None:
                first = end
            else:
                words = f"{first.words}, alone again: {end.words}" if first else end.words
                decoded.rejected[row] = Rejected(end.reason, words)
                row, first = row + 1, None
        return decoded

    def _ask(self, payloads: Sequence[memoryview | None], gray: bool) -> _End | None:
        """Has the decoder work on as many of `payloads` as there is room for; how it ended, if it did."""
        control = self._control or self._start()
        self._exchange.fill(payloads, gray=gray)
        try:
            control.send(b".")
            return None if self._answers(control) else self._end()
        except ConnectionError:
            return self._end()
        except TimeoutError:
            return self._end(_End(Reason.DECODER_TIMEOUT, f"not decoded within {self.limits.timeout:g} s"))
        except BaseException:
            # It would go on with these images and answer to the next ones.
            self._end(_End(Reason.DECODER_CRASHED, "interrupted"))
            raise

    def _answers(self, control: socket.socket) -> bool:
        """Whether the decoder answered, and not ended; a TimeoutError if it is too long in one image."""
        # What counts are looks that saw no progress, not a clock: a machine that was asleep is no decoder that hangs.
        look = min(self.limits.timeout / _LOOKS, _LONGEST_LOOK)
        looks, progress = 0, (0, 0)
        poll = select.poll()
        poll.register(control, select.POLLIN)
        while not poll.poll(1000 * look):
            now = (self._exchange.begun, self._exchange.done)
            looks, progress = (looks + 1 if now == progress else 0), now
            if looks * look >= self.limits.timeout:
                raise TimeoutError
        return bool(control.recv(1))

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        numbers = (self._file.fileno(), os.getpid(), self.limits.max_bytes, self.limits.max_pixels, self._memory)
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "sparkdl.decoder", *map(str, numbers)],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    pass_fds=(self._file.fileno(),),
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **_ONE_THREAD},
                    start_new_session=True,  # Ctrl-C at the terminal is the driver's business
                )
            except OSError as error:
                ours.close()
                raise SparkdlError(f"the decoder process cannot be started: {error}") from error
        self._control = ours
        self.starts += 1
        ours.settimeout(_START_SECONDS)
        try:
            ready = bool(ours.recv(1))
        except (ConnectionError, TimeoutError):
            ready = False
        ours.settimeout(None)
        if not ready:
            raise SparkdlError(f"the decoder process did not start: {self._end().words}")
        return ours

    def _end(self, end: _End | None = None) -> _End:
        """Ends the process, if it has not ended; `end`, or how it did end."""
        process, control = self._process, self._control
        assert process  # started
        assert control
        assert process.stderr
        self._process = self._control = None
        control.close()
        if end is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_LEAVE_SECONDS)
        process.kill()
        said = process.stderr.read().decode("utf-8", "replace")
        process.stderr.close()
        code = process.wait()
        if said:
            sys.stderr.write(said)
        if end is not None:
            return end
        how = _signal_name(-code) if code < 0 else f"exit code {code}"
        last = said.strip().splitlines()[-1:]
        return _End(Reason.DECODER_CRASHED, ": ".join([f"the decoder ended by {how}", *last]))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


_current: Decoder | None = None
_current_lock = threading.Lock()


def decoder(limits: Limits) -> Decoder:
    """This process's decoder; where it was made for other limits, or before a fork, another takes its place."""
    global _current
    with _current_lock:
        if _current is None or _current.limits != limits or _current.owner != os.getpid():
            if _current is not None and _current.owner == os.getpid():
                _current.close()
            _current = Decoder(limits)
        return _current


@atexit.register
def _close() -> None:
    if _current is not None and _current.owner == os.getpid():
        _current.close()
