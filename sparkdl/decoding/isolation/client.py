"""Decoder client: the worker's side of the decoder process. An image that crashes its decoder costs only that image.

A Spark worker starts a template at its first image, forks its decoder from it (`sparkdl.decoding.isolation.server`) and
keeps both. Batches and results are exchanged in shared memory (`sparkdl.decoding.isolation.shared_memory`), with one
small message in each direction. A decoder that dies is replaced, and the image that it was decoding is retried once,
alone: the signal may have been meant for another process, or an earlier image may have damaged the decoder. There is no
retry if the decoder faulted in its very first image. A decoder that takes longer for one image than
`sparkdl.decoding.isolation.time_limit` allows is killed.

A decoder that an image has taken over can send anything. An inconsistent answer ends the decoder, like a crash in that
image. Such a decoder cannot delay its worker for longer than a slow image can, and can neither end the worker nor raise
an error in it.

Memory: a decoder starts with about 35 MB, and may allocate at most `memory_for(limits)` more while it decodes, which is
enforced. The shared memory is at most `sparkdl.decoding.isolation.shared_memory.PIXEL_BYTES` and one payload of maximum
length. With the default limits the total is 1.6 GB for a picture that needs all of it, and 40 MB for small images. The
worker holds the pixels of one Arrow batch: at most 3 MiB per image, see `sparkdl.images.pixels.downscale`.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparkdl.decoding.isolation.process import PROGRAM, DecoderProcess, memory_for
from sparkdl.decoding.isolation.server import ASK, DONE, FAILED
from sparkdl.decoding.isolation.shared_memory import Answer, SharedMemory, make_file
from sparkdl.decoding.isolation.watchdog import Watchdog
from sparkdl.errors import SparkdlError
from sparkdl.images.pixels import Pixels
from sparkdl.images.rejection import Limits, Reason, Rejected

_MAX_FAILURES = 3
"""Decoders in a row that must fail on an empty payload until the machine, not an image, counts as the cause."""
_FAULTS = {signal.SIGSEGV, signal.SIGILL, signal.SIGFPE, signal.SIGABRT, signal.SIGSYS}
"""Signals of a fault. SIGBUS is not included, because a lack of shared memory raises it too."""
_INVALID_ANSWER = "the decoder sent an invalid answer"


@dataclass
class Decoded:
    """The results of N payloads.

    Attributes
    ----------
    shapes
        int64 [N, 3]: height, width and channels (1 or 3) of each image; 0, 0, 0 for a rejected image.
    pixels
        The pixels of all images, concatenated: uint8 [height, width, channels] each, gray or BGR.
    rejected
        The rejection of each rejected image, by its index.
    """

    shapes: npt.NDArray[np.int64]
    pixels: bytearray
    rejected: dict[int, Rejected]

    def add(self, row: int, answer: Answer) -> None:
        """Add the results of the images that start at `row`."""
        self.shapes[row : row + len(answer.shapes)] = answer.shapes
        self.pixels += answer.pixels
        self.rejected.update({row + index: why for index, why in answer.rejected.items()})

    def images(self) -> list[Pixels]:
        """Return the decoded images, in order, as views of `pixels`."""
        flat = np.frombuffer(self.pixels, np.uint8)
        parts = np.split(flat, np.cumsum(self.shapes.prod(axis=1))[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, self.shapes.tolist(), strict=True) if part.size]


@dataclass(frozen=True)
class _End:
    """How a decoder ended before it answered."""

    reason: Reason
    detail: str
    by_fault: bool = False
    """Whether it ended by a signal that a process only raises in itself, and that is never sent by another process."""


class DecoderClient:
    """Decodes batches in a separate process, which is started when needed.

    Thread-safe: calls are served one at a time.

    Parameters
    ----------
    limits
        As for `sparkdl.decoding.decode`; also `timeout`, the maximum time for one image.
    memory
        Bytes that the process may allocate in addition to its initial memory. Default: `memory_for(limits)`.
    program
        Arguments that start the template; for tests, see `sparkdl.decoding.isolation.process.PROGRAM`.
    """

    def __init__(self, limits: Limits, memory: int | None = None, program: Sequence[str] = PROGRAM) -> None:
        self.limits = limits
        self.owner = os.getpid()
        self._memory = memory_for(limits) if memory is None else memory
        self._program = program
        self._lock = threading.Lock()
        self._watchdog = Watchdog(limits)
        self._is_new = True  # whether the decoder of the last request had not decoded any image before
        self._allocate()

    def _allocate(self) -> None:
        self._file = make_file(self.limits.max_bytes)
        self._shared = SharedMemory(self._file.fileno(), self.limits.max_bytes)
        numbers = (self.limits.max_bytes, self.limits.max_pixels, self._memory)
        self._process = DecoderProcess(self._file.fileno(), numbers, self._program)

    @property
    def starts(self) -> int:
        """The number of decoders forked so far."""
        return self._process.forks

    @property
    def pid(self) -> int | None:
        """The process id of the decoder, if there is one."""
        return self._process.pid

    @property
    def is_filtered(self) -> bool:
        """Whether the system calls of the decoder are filtered."""
        return self._process.is_filtered

    @property
    def begun(self) -> int:
        """The number of images of the last request that the decoder has begun."""
        return self._shared.progress().begun

    def decode(self, payloads: Sequence[memoryview | None], *, gray: bool = False) -> Decoded:
        """Return the result of each payload, as from `sparkdl.decoding.decode` with `reduce` and `gray`.

        Raises
        ------
        SparkdlError
            If no decoder can be started, or no decoder can decode anything.
        """
        with self._lock:
            return self._decode(payloads, gray)

    def close(self) -> None:
        """End the process; the next call of `decode` starts a new one."""
        with self._lock:
            self._process.close()

    def _decode(self, payloads: Sequence[memoryview | None], gray: bool) -> Decoded:
        decoded = Decoded(np.zeros((len(payloads), 3), np.int64), bytearray(), {})
        row, one_by_one = 0, False
        first: _End | None = None  # how the decoder ended at the first attempt to decode image `row`
        while row < len(payloads):
            end = self._request(payloads[row : row + 1 if first or one_by_one else None], gray)
            answer = self._shared.read()
            decoded.add(row, answer)
            row += len(answer.shapes)
            if len(answer.shapes):
                first = None
            if end is None and not (len(answer.shapes) and answer.is_sound and not answer.in_image):
                end = self._end(_End(Reason.DECODER_CRASHED, _INVALID_ANSWER))
            if end is None or row == len(payloads):
                continue
            if first:
                if not answer.in_image:
                    self._check_decoder()
                decoded.rejected[row] = Rejected(end.reason, f"{first.detail}, alone again: {end.detail}")
            elif answer.in_image and (
                end.reason is Reason.DECODER_TIMEOUT or (end.by_fault and self._is_new and not len(answer.shapes))
            ):
                decoded.rejected[row] = Rejected(end.reason, end.detail)
            else:
                # If the decoder was not in an image, or claims so, any of the following images may have ended it.
                first, one_by_one = end, one_by_one or not answer.in_image
                continue
            row, first = row + 1, None
        return decoded

    def _check_decoder(self) -> None:
        """Raise a SparkdlError if decoders fail even on a null payload."""
        detail = ""
        for _ in range(_MAX_FAILURES):
            end = self._request([None], gray=False)
            if end is None and self._shared.read().rejected:
                return
            end = end or self._end(_End(Reason.DECODER_CRASHED, _INVALID_ANSWER))
            detail = end.detail
        raise SparkdlError(f"the decoder process ends before it decodes anything: {detail}")

    def _request(self, payloads: Sequence[memoryview | None], gray: bool) -> _End | None:
        """Let the decoder process as many of `payloads` as fit; return how it ended, if it did."""
        try:
            self._is_new = self._process.link is None
            link = self._process.link or self._process.fork()
            self._shared.fill(payloads, gray=gray)
            try:
                link.sendall(ASK)
                message = self._watchdog.wait(link, self._shared)
            except ConnectionError:
                return self._end()
            except TimeoutError as error:
                return self._end(_End(Reason.DECODER_TIMEOUT, str(error)))
        except BaseException:
            # Otherwise the decoder would continue with these images and answer the next request with them.
            self._process.close()
            raise
        if message == DONE:
            return None
        return self._end(_End(Reason.DECODER_CRASHED, _detail_of(message)) if message else None)

    def _end(self, end: _End | None = None) -> _End:
        """End the decoder if it is still running; return `end`, or how it ended."""
        code = self._process.end(at_once=end is not None)
        if code is None:
            # A decoder that may still be running keeps the old memory.
            starts = self._process.forks
            self._allocate()
            self._process.forks = starts
        if end is not None:
            return end
        how = _signal_name(-code) if code is not None and code < 0 else f"exit code {code}"
        by_fault = code is not None and -code in _FAULTS
        return _End(Reason.DECODER_CRASHED, f"the decoder ended by {how}", by_fault)


def _detail_of(message: bytes) -> str:
    """Return the beginning of the detail for a message that is not an answer."""
    if not message.startswith(FAILED):
        return _INVALID_ANSWER
    return f"the decoder failed: {message[1:].decode('utf-8', 'replace')}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


_current: DecoderClient | None = None
_current_lock = threading.Lock()


def decoder_client(limits: Limits) -> DecoderClient:
    """Return this process's client; replace one for other limits or from before a fork."""
    global _current
    with _current_lock:
        if _current is None or _current.limits != limits or _current.owner != os.getpid():
            if _current is not None and _current.owner == os.getpid():
                _current.close()
            _current = DecoderClient(limits)
        return _current


@atexit.register
def _close() -> None:
    if _current is not None and _current.owner == os.getpid():
        _current.close()
