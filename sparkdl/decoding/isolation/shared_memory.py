"""Memory shared by a worker and its decoder: encoded images in one direction, pixels and reasons in the other.

    counters | spans of the payloads | results | details | payloads | pixels

All parts have fixed sizes and offsets. The memory is an unnamed file whose pages are allocated when they are written,
so a batch of small images uses little memory.

A decoder that an image has taken over can write anything anywhere at any time. Therefore the worker keeps its own copy
of the request, reads each value once, and validates the copy before it uses it.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np
import numpy.typing as npt

from sparkdl.images.pixels import MAX_PIXELS, MAX_SIDE, Pixels
from sparkdl.images.rejection import MAX_DETAIL, Reason, Rejected

MAX_IMAGES = 1024
"""Maximum number of images in a request."""
PIXEL_BYTES = 64 * 2**20
"""Bytes for the pixels of one request, enough for at least one picture."""
_MIN_PAYLOAD_BYTES = 16 * 2**20
_MAX_PICTURE_BYTES = 3 * MAX_PIXELS
_DETAIL_BYTES = 4 * MAX_DETAIL  # in UTF-8
_REASONS = (
    Reason.EMPTY,
    Reason.TOO_MANY_BYTES,
    Reason.TOO_MANY_PIXELS,
    Reason.UNSUPPORTED_FORMAT,
    Reason.TRUNCATED,
    Reason.CORRUPT,
)
"""The reasons that a decoder may return; the client and the model return the others."""
_IMAGE = -1  # in a result, in place of the number of a reason
_NOTHING = -2  # in a result that has not been written yet
_NULL = -1  # the length of a null payload

_COUNT, _BEGUN, _DONE, _GRAY = range(4)
_SPAN = struct.Struct("=qq")  # offset and length of a payload
_RESULT = struct.Struct("=qqqq")  # _IMAGE, height, width, channels; or a reason, the length of its detail, 0, 0

_SPANS_AT = 64
_RESULTS_AT = _SPANS_AT + MAX_IMAGES * _SPAN.size
_DETAILS_AT = _RESULTS_AT + MAX_IMAGES * _RESULT.size
_PAYLOADS_AT = _DETAILS_AT + MAX_IMAGES * _DETAIL_BYTES


def make_file(max_bytes: int) -> IO[bytes]:
    """Return an unnamed file for requests with payloads of up to `max_bytes`."""
    file: IO[bytes]
    size = _PAYLOADS_AT + _payload_room(max_bytes) + PIXEL_BYTES
    if sys.platform == "linux":
        flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
        file = os.fdopen(os.memfd_create("sparkdl-decoder", flags), "r+b")
        file.truncate(size)
        # Reading pages beyond the end of a truncated file kills the reader.
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    else:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as its decoder
        file.truncate(size)
    return file


def _payload_room(max_bytes: int) -> int:
    # One byte more than allowed, so that the decoder can detect a payload that is too long.
    return max(max_bytes + 1, _MIN_PAYLOAD_BYTES)


@dataclass(frozen=True)
class Progress:
    """Progress of a request as the decoder reports it: images with a result, and images that it has begun."""

    done: int = 0
    begun: int = 0

    def may_become(self, later: Progress, count: int) -> bool:
        """Whether an honest decoder of `count` images can report `later` after this."""
        return self.done <= later.done and self.begun <= later.begun and later.done <= later.begun <= count


@dataclass(frozen=True)
class Answer:
    """Results of the first N images of a request.

    Attributes
    ----------
    shapes
        int64 [N, 3]: height, width, channels of each of the first N images; 0, 0, 0 for a rejected image.
    pixels
        The pixels of all N images, concatenated.
    rejected
        The rejections, by the index of the image.
    in_image
        Whether the decoder reports that it has begun another image.
    is_sound
        Whether everything that the decoder wrote is valid; otherwise N ends before the first invalid result.
    """

    shapes: npt.NDArray[np.int64]
    pixels: memoryview
    rejected: dict[int, Rejected]
    in_image: bool
    is_sound: bool


class SharedMemory:
    """View of the shared memory, for both sides.

    The worker fills in a request. The decoder records each image that it begins and completes, so the worker can read
    the results that it completed before it died.
    """

    def __init__(self, descriptor: int, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._payload_room = _payload_room(max_bytes)
        self._memory = mmap.mmap(descriptor, _PAYLOADS_AT + self._payload_room + PIXEL_BYTES)
        self._view = memoryview(self._memory)
        self._counters = self._view[:_SPANS_AT].cast("q")
        self._payloads = self._view[_PAYLOADS_AT : _PAYLOADS_AT + self._payload_room]
        self._pixels = self._view[_PAYLOADS_AT + self._payload_room :]
        self._used = 0
        self._sizes: list[int] = []
        self._gray = False

    # Client side.

    @property
    def count(self) -> int:
        """The number of images in the request."""
        return len(self._sizes)

    def size_of(self, progress: Progress) -> int:
        """Return the bytes of the image that a decoder with this `progress` is decoding; 0 if there is none."""
        return self._sizes[progress.done] if progress.done < min(progress.begun, self.count) else 0

    def progress(self) -> Progress:
        """Return the current progress."""
        done = self._counters[_DONE]  # read first, because the other counter is never behind it
        return Progress(done, self._counters[_BEGUN])

    def fill(self, payloads: Sequence[memoryview | None], *, gray: bool = False) -> int:
        """Write a request for as many of `payloads` as fit, at least one; return their number."""
        used, self._sizes = 0, []
        for index, payload in enumerate(payloads[:MAX_IMAGES]):
            length = _NULL if payload is None else min(len(payload), self._max_bytes + 1)
            if payload is not None:
                if used + length > self._payload_room:
                    break
                self._payloads[used : used + length] = payload[:length]
            _SPAN.pack_into(self._memory, _SPANS_AT + index * _SPAN.size, used, length)
            self._sizes.append(max(length, 0))
            used += self._sizes[-1]
        count = len(self._sizes)
        self._counters[_COUNT], self._counters[_BEGUN], self._counters[_DONE] = count, 0, 0
        self._counters[_GRAY] = gray
        np.frombuffer(self._memory, np.int64, 4 * count, _RESULTS_AT)[::4] = _NOTHING
        self._gray = gray
        return count

    def read(self) -> Answer:
        """Return the completed results; none if the counters are invalid."""
        progress = self.progress()
        is_valid = Progress().may_become(progress, self.count)
        done = progress.done if is_valid else 0
        results = np.frombuffer(self._memory, np.int64, 4 * done, _RESULTS_AT).reshape(-1, 4).copy()
        kinds, shapes = results[:, 0], results[:, 1:]
        is_image = kinds == _IMAGE
        heights, widths, channels = shapes.T
        images = (heights > 0) & (widths > 0) & (np.maximum(heights, widths) <= MAX_SIDE)
        images &= (channels == 1) | ((channels == 3) & (not self._gray))
        images[images] &= heights[images] * widths[images] <= MAX_PIXELS
        rejections = (kinds >= 0) & (kinds < len(_REASONS)) & (heights >= 0) & (heights <= _DETAIL_BYTES)
        ends = np.cumsum(np.where(is_image & images, shapes.prod(axis=1), 0))
        sound = np.where(is_image, images, rejections) & (ends <= PIXEL_BYTES)
        count = len(sound) if sound.all() else int(np.argmin(sound))
        rejected_rows = np.flatnonzero(~is_image[:count]).tolist()
        rejected = {index: self._rejected(index, int(kinds[index]), int(heights[index])) for index in rejected_rows}
        shapes[~is_image] = 0
        return Answer(
            shapes[:count],
            self._pixels[: int(ends[count - 1]) if count else 0],
            rejected,
            in_image=is_valid and progress.begun > count,
            is_sound=is_valid and count == done,
        )

    def _rejected(self, index: int, kind: int, length: int) -> Rejected:
        start = _DETAILS_AT + index * _DETAIL_BYTES
        return Rejected(_REASONS[kind], bytes(self._view[start : start + length]).decode("utf-8", "replace"))

    # Decoder side.

    def open(self) -> int:
        """Begin a request; return the number of its images."""
        self._used = 0
        return self._counters[_COUNT]

    @property
    def gray(self) -> bool:
        """Whether the request is for gray pixels."""
        return bool(self._counters[_GRAY])

    def begin(self, index: int) -> None:
        """Record that image `index` has begun."""
        self._counters[_BEGUN] = index + 1

    def payload(self, index: int) -> bytes | None:
        """Return image `index`; if it is too long, return a beginning that is still too long."""
        offset, length = _SPAN.unpack_from(self._memory, _SPANS_AT + index * _SPAN.size)
        return None if length == _NULL else bytes(self._payloads[offset : offset + length])

    def write(self, index: int, result: Pixels | Rejected) -> bool:
        """Write the result of image `index`; return whether another picture fits."""
        place = _RESULTS_AT + index * _RESULT.size
        if isinstance(result, Rejected):
            detail = result.detail.encode("utf-8", "replace")
            start = _DETAILS_AT + index * _DETAIL_BYTES
            self._view[start : start + len(detail)] = detail
            _RESULT.pack_into(self._memory, place, _REASONS.index(result.reason), len(detail), 0, 0)
        else:
            end = self._used + result.size
            self._pixels[self._used : end] = result.reshape(-1).data
            _RESULT.pack_into(self._memory, place, _IMAGE, *result.shape)
            self._used = end
        self._counters[_DONE] = index + 1
        return self._used + _MAX_PICTURE_BYTES <= PIXEL_BYTES
