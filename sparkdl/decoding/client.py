"""The worker's side of the decoder process: one process a worker, so that an image that kills it costs one image.

A Spark worker starts a template at its first image, forks its decoder from it (`sparkdl.decoding.server`) and keeps
both. A batch goes there and back in shared memory (`sparkdl.decoding.shared_memory`) with one small message each way. A
decoder that dies is replaced; the image that it was in is tried once more alone, because whoever killed it may have
meant another, or an image before it may have damaged it: so not if the image was its first, and it faulted. A decoder
that is in one image for longer than `sparkdl.decoding.time_limit` allows is killed.

A decoder that was taken over by an image may say anything. What contradicts itself ends it, as a crash in the image
that it was in; it can hold its worker no longer than an image can that is slow, and neither end nor raise in it.

Memory: a decoder has about 35 MB, and while it decodes at most `memory_for(limits)` more, which is enforced; the
shared memory is at most `sparkdl.decoding.shared_memory.PIXEL_BYTES` and one longest payload. With the default limits
that is 1.6 GB where a picture needs all of it, and 40 MB with small images. The worker holds the pixels of one Arrow
batch: at most 3 MiB an image, see `sparkdl.images.pixels.reduced`.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparkdl.decoding.process import PROGRAM, DecoderProcess, memory_for
from sparkdl.decoding.server import ASK, DONE, FAILED, MOST_SAID
from sparkdl.decoding.shared_memory import Answer, Exchange, Progress, make_file
from sparkdl.decoding.time_limit import Patience
from sparkdl.errors import SparkdlError
from sparkdl.images.pixels import Pixels
from sparkdl.images.rejection import Limits, Reason, Rejected

_TRIES = 3
"""Decoders in a row that may fail to decode what needs no decoding, before it is this machine that is to blame."""
_LOOKS = 20  # at the decoder's progress, until it is too late
_LONGEST_LOOK = 0.5  # seconds
_FAULTS = {signal.SIGSEGV, signal.SIGILL, signal.SIGFPE, signal.SIGABRT, signal.SIGSYS}
"""Not among them is SIGBUS, which a lack of memory for what is shared raises too."""
_NONSENSE = FAILED + b"what it says of its progress makes no sense"


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

    def take(self, row: int, answer: Answer) -> None:
        """Notes the outcomes of the images from `row` on."""
        self.shapes[row : row + len(answer.shapes)] = answer.shapes
        self.pixels += answer.pixels
        self.rejected.update({row + index: why for index, why in answer.rejected.items()})

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
    by_itself: bool = False
    """By a signal that a process raises in itself, and that nobody sends to another."""


class Decoder:
    """Decodes batches in a process of its own, which is started when it is needed.

    Any number of threads may ask; one is served at a time.

    Parameters
    ----------
    limits
        As for `sparkdl.decoding.decode`; and `timeout`, how long one image may take.
    memory
        Bytes that the process may take beyond what it has at its start. Default: `memory_for(limits)`.
    program
        Of the template; for tests, see `sparkdl.decoding.process.PROGRAM`.
    """

    def __init__(self, limits: Limits, memory: int | None = None, program: Sequence[str] = PROGRAM) -> None:
        self.limits = limits
        self.owner = os.getpid()
        self._memory = memory_for(limits) if memory is None else memory
        self._program = program
        self._lock = threading.Lock()
        self._patience = Patience(limits.timeout, limits.shrinks)
        self._is_new = True  # the decoder, when it was asked last: it had met no image
        self._share_memory()

    def _share_memory(self) -> None:
        self._file = make_file(self.limits.max_bytes)
        self._exchange = Exchange(self._file.fileno(), self.limits.max_bytes)
        numbers = (self.limits.max_bytes, self.limits.max_pixels, self._memory)
        self._process = DecoderProcess(self._file.fileno(), numbers, self._program)

    @property
    def starts(self) -> int:
        """Decoders that were forked."""
        return self._process.forks

    @property
    def pid(self) -> int | None:
        """The process that decodes, if there is one."""
        return self._process.pid

    @property
    def is_filtered(self) -> bool:
        """Whether the system calls of the process that decodes are filtered."""
        return self._process.is_filtered

    @property
    def begun(self) -> int:
        """How many images the process has begun, of those that it was asked for last."""
        return self._exchange.progress().begun

    def decode(self, payloads: Sequence[memoryview | None], *, gray: bool = False) -> Decoded:
        """The outcome of each payload, as of `sparkdl.decoding.decode` with `reduce` and `gray`.

        Raises
        ------
        SparkdlError
            If no decoder can be started, or none decodes anything.
        """
        with self._lock:
            return self._decode(payloads, gray)

    def close(self) -> None:
        """Ends the process; another call of `decode` starts one again."""
        with self._lock:
            self._process.close()

    def _decode(self, payloads: Sequence[memoryview | None], gray: bool) -> Decoded:
        decoded = Decoded(np.zeros((len(payloads), 3), np.int64), bytearray(), {})
        row, one_by_one = 0, False
        first: _End | None = None  # how the decoder ended that had image `row` for the first time
        while row < len(payloads):
            end = self._ask(payloads[row : row + 1 if first or one_by_one else None], gray)
            answer = self._exchange.read()
            decoded.take(row, answer)
            row += len(answer.shapes)
            if len(answer.shapes):
                first = None
            if end is None and not (len(answer.shapes) and answer.is_sound and not answer.in_image):
                end = self._end(_End(Reason.DECODER_CRASHED, "the decoder's answer makes no sense"))
            if end is None or row == len(payloads):
                continue
            if first:
                if not answer.in_image:
                    self._check_that_it_works()
                decoded.rejected[row] = Rejected(end.reason, f"{first.words}, alone again: {end.words}")
            elif answer.in_image and (
                end.reason is Reason.DECODER_TIMEOUT or (end.by_itself and self._is_new and not len(answer.shapes))
            ):
                decoded.rejected[row] = Rejected(end.reason, end.words)
            else:
                # If it was in no image, or says so, any of those that follow may have brought it down.
                first, one_by_one = end, one_by_one or not answer.in_image
                continue
            row, first = row + 1, None
        return decoded

    def _check_that_it_works(self) -> None:
        """Raises a SparkdlError if a decoder cannot even say that nothing is no image."""
        words = ""
        for _ in range(_TRIES):
            end = self._ask([None], gray=False)
            if end is None and self._exchange.read().rejected:
                return
            end = end or self._end(_End(Reason.DECODER_CRASHED, "the decoder's answer makes no sense"))
            words = end.words
        raise SparkdlError(f"the decoder process ends before it decodes anything: {words}")

    def _ask(self, payloads: Sequence[memoryview | None], gray: bool) -> _End | None:
        """Has the decoder work on as many of `payloads` as there is room for; how it ended, if it did."""
        try:
            self._is_new = self._process.link is None
            link = self._process.link or self._process.fork()
            self._exchange.fill(payloads, gray=gray)
            try:
                link.sendall(ASK)
                said = self._hear(link)
            except ConnectionError:
                return self._end()
            except TimeoutError as error:
                return self._end(_End(Reason.DECODER_TIMEOUT, str(error)))
        except BaseException:
            # It would go on with these images and answer to the next ones.
            self._process.close()
            raise
        if said == DONE:
            return None
        return self._end(None if not said else _End(Reason.DECODER_CRASHED, _words_of(said)))

    def _hear(self, link: socket.socket) -> bytes:
        """What the decoder said, nothing if it ended; a TimeoutError if it is too long in an image."""
        # What counts are looks that saw no progress, not a clock: a machine that was asleep is no decoder that hangs.
        progress, held = Progress(), 0.0
        limit = self._limit(progress)
        poll = select.poll()
        poll.register(link, select.POLLIN)
        try:
            while not poll.poll(1000 * (look := min(limit / _LOOKS, _LONGEST_LOOK))):
                now = self._exchange.progress()
                if now == progress:
                    held += look
                    if held >= limit:
                        raise TimeoutError(self._lateness(limit))
                    continue
                if not progress.may_become(now, self._exchange.count):
                    return _NONSENSE
                self._note(held, limit)
                limit, held, progress = self._limit(now), 0.0, now
            return link.recv(MOST_SAID)
        finally:
            self._note(held, limit)

    def _limit(self, progress: Progress) -> float:
        return self._patience.limit(time.monotonic(), self._exchange.size_of(progress))

    def _note(self, held: float, limit: float) -> None:
        self._patience = self._patience.after(held, limit, time.monotonic())

    def _lateness(self, limit: float) -> str:
        if limit >= self.limits.timeout:
            return f"not decoded within {limit:g} s"
        return (
            f"not decoded within {limit:.2g} s, instead of {self.limits.timeout:g} s, since images before it were slow"
        )

    def _end(self, end: _End | None = None) -> _End:
        """Ends the decoder, if it has not ended; `end`, or how it did end."""
        code = self._process.end(at_once=end is not None)
        if code is None:
            # Whatever still runs keeps the old memory.
            starts = self._process.forks
            self._share_memory()
            self._process.forks = starts
        if end is not None:
            return end
        how = _signal_name(-code) if code is not None and code < 0 else f"exit code {code}"
        by_itself = code is not None and -code in _FAULTS
        return _End(Reason.DECODER_CRASHED, f"the decoder ended by {how}", by_itself)


def _words_of(said: bytes) -> str:
    """What a decoder said that is no answer, as the beginning of a detail."""
    if not said.startswith(FAILED):
        return "the decoder's answer makes no sense"
    return f"the decoder failed: {said[1:].decode('utf-8', 'replace')}"


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
