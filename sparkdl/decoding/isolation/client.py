"""Decoder client: the worker's side of the decoder process, so that an image that kills its decoder costs one image.

A Spark worker starts a template at its first image, forks its decoder from it (`sparkdl.decoding.isolation.server`) and
keeps both. A batch goes there and back in shared memory (`sparkdl.decoding.isolation.shared_memory`) with one small
message each way. A decoder that dies is replaced, and the image that it was in is retried once, alone: the signal may
have been meant for another process, or an earlier image may have damaged the decoder. There is no retry if the decoder
faulted in its very first image. A decoder that is in one image for longer than `sparkdl.decoding.isolation.time_limit`
allows is killed.

A decoder that was taken over by an image may say anything. An answer that contradicts itself ends the decoder, as a
crash in that image does. Such a decoder can hold its worker no longer than a slow image can, and can neither end the
worker nor raise in it.

Memory: a decoder has about 35 MB, and allocates at most `memory_for(limits)` more while it decodes, which is enforced;
the shared memory is at most `sparkdl.decoding.isolation.shared_memory.PIXEL_BYTES` and one payload of maximum length.
With the default limits that is 1.6 GB where a picture needs all of it, and 40 MB with small images. The worker holds
the pixels of one Arrow batch: at most 3 MiB an image, see `sparkdl.images.pixels.downscale`.
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
"""Decoders in a row that fail an empty payload, before the machine is to blame and not an image."""
_FAULTS = {signal.SIGSEGV, signal.SIGILL, signal.SIGFPE, signal.SIGABRT, signal.SIGSYS}
"""Signals of a fault. SIGBUS is not among them: a lack of shared memory raises it too."""
_INVALID_ANSWER = "the decoder's answer makes no sense"


@dataclass
class Decoded:
    """The results of N payloads.

    Attributes
    ----------
    shapes
        int64 [N, 3]: height, width and channels (1 or 3) of each image; 0, 0, 0 of a rejected one.
    pixels
        The pixels of all images, concatenated: uint8 [height, width, channels] each, gray or BGR.
    rejected
        Why an image was rejected, by its index.
    """

    shapes: npt.NDArray[np.int64]
    pixels: bytearray
    rejected: dict[int, Rejected]

    def add(self, row: int, answer: Answer) -> None:
        """Add the results of the images from `row` on."""
        self.shapes[row : row + len(answer.shapes)] = answer.shapes
        self.pixels += answer.pixels
        self.rejected.update({row + index: why for index, why in answer.rejected.items()})

    def images(self) -> list[Pixels]:
        """Return the images that were not rejected, in order, as views of `pixels`."""
        flat = np.frombuffer(self.pixels, np.uint8)
        parts = np.split(flat, np.cumsum(self.shapes.prod(axis=1))[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, self.shapes.tolist(), strict=True) if part.size]


@dataclass(frozen=True)
class _End:
    """How a decoder ended before it answered."""

    reason: Reason
    detail: str
    by_fault: bool = False
    """By a signal that a process raises in itself, and that nobody sends to another."""


class DecoderClient:
    """Decodes batches in a separate process, which is started when it is needed.

    Thread-safe: calls are served one at a time.

    Parameters
    ----------
    limits
        As for `sparkdl.decoding.decode`; and `timeout`, how long one image may take.
    memory
        Bytes that the process may allocate beyond what it has at its start. Default: `memory_for(limits)`.
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
        self._is_new = True  # whether the decoder of the last request had met no image before
        self._allocate()

    def _allocate(self) -> None:
        self._file = make_file(self.limits.max_bytes)
        self._shared = SharedMemory(self._file.fileno(), self.limits.max_bytes)
        numbers = (self.limits.max_bytes, self.limits.max_pixels, self._memory)
        self._process = DecoderProcess(self._file.fileno(), numbers, self._program)

    @property
    def starts(self) -> int:
        """Number of decoders that were forked."""
        return self._process.forks

    @property
    def pid(self) -> int | None:
        """Process id of the decoder, if there is one."""
        return self._process.pid

    @property
    def is_filtered(self) -> bool:
        """Whether the system calls of the decoder are filtered."""
        return self._process.is_filtered

    @property
    def begun(self) -> int:
        """Number of images of the last request that the decoder has begun."""
        return self._shared.progress().begun

    def decode(self, payloads: Sequence[memoryview | None], *, gray: bool = False) -> Decoded:
        """Return the result of each payload, as `sparkdl.decoding.decode` gives it with `reduce` and `gray`.

        Raises
        ------
        SparkdlError
            If no decoder can be started, or none decodes anything.
        """
        with self._lock:
            return self._decode(payloads, gray)

    def close(self) -> None:
        """End the process; the next call of `decode` starts one again."""
        with self._lock:
            self._process.close()

    def _decode(self, payloads: Sequence[memoryview | None], gray: bool) -> Decoded:
        decoded = Decoded(np.zeros((len(payloads), 3), np.int64), bytearray(), {})
        row, one_by_one = 0, False
        first: _End | None = None  # how the decoder ended that was in image `row` for the first time
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
                # If the decoder was in no image, or says so, any of the images that follow may have ended it.
                first, one_by_one = end, one_by_one or not answer.in_image
                continue
            row, first = row + 1, None
        return decoded

    def _check_decoder(self) -> None:
        """Raise a SparkdlError if no decoder can even reject a null payload."""
        detail = ""
        for _ in range(_MAX_FAILURES):
            end = self._request([None], gray=False)
            if end is None and self._shared.read().rejected:
                return
            end = end or self._end(_End(Reason.DECODER_CRASHED, _INVALID_ANSWER))
            detail = end.detail
        raise SparkdlError(f"the decoder process ends before it decodes anything: {detail}")

    def _request(self, payloads: Sequence[memoryview | None], gray: bool) -> _End | None:
        """Let the decoder work on as many of `payloads` as there is room for; return how it ended, if it did."""
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
            # The decoder would go on with these images and answer to the next request.
            self._process.close()
            raise
        if message == DONE:
            return None
        return self._end(_End(Reason.DECODER_CRASHED, _detail_of(message)) if message else None)

    def _end(self, end: _End | None = None) -> _End:
        """End the decoder, if it has not ended; return `end`, or how it did end."""
        code = self._process.end(at_once=end is not None)
        if code is None:
            # A decoder that may still run keeps the old memory.
            starts = self._process.forks
            self._allocate()
            self._process.forks = starts
        if end is not None:
            return end
        how = _signal_name(-code) if code is not None and code < 0 else f"exit code {code}"
        by_fault = code is not None and -code in _FAULTS
        return _End(Reason.DECODER_CRASHED, f"the decoder ended by {how}", by_fault)


def _detail_of(message: bytes) -> str:
    """Return the beginning of a detail for a message that is no answer."""
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
    """Return this process's client; one made for other limits, or before a fork, is replaced."""
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
