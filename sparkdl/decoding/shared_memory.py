"""The memory that a worker and its decoder share: encoded images on the way there, pixels and reasons on the way back.

    counters | spans of the payloads | outcomes | details | payloads | pixels

All parts have fixed sizes and places. The memory is a file without a name; its pages are taken when they are written,
so a batch of small images touches little of it.

The decoder may have been taken over by an image, and can write what it likes into all of it at any time. So the worker
keeps to itself what it asked for, reads each value once, and checks the copy that it then uses.
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

from sparkdl.images.pixels import MOST_PIXELS, MOST_SIDE, Pixels
from sparkdl.images.rejection import MAX_DETAIL, Reason, Rejected

MOST_IMAGES = 1024
"""Images a request."""
PIXEL_BYTES = 64 * 2**20
"""Room for pixels of one request, at least one picture's."""
_LEAST_PAYLOAD_BYTES = 16 * 2**20
_MOST_PICTURE = 3 * MOST_PIXELS
_DETAIL_BYTES = 4 * MAX_DETAIL  # in UTF-8
_REASONS = (
    Reason.EMPTY,
    Reason.TOO_MANY_BYTES,
    Reason.TOO_MANY_PIXELS,
    Reason.UNSUPPORTED_FORMAT,
    Reason.TRUNCATED,
    Reason.CORRUPT,
)
"""What a decoder may say of an image; the other reasons are for others to give."""
_IMAGE = -1  # what an outcome has instead of the number of a reason
_NOTHING = -2  # what it has where nothing is written yet
_NULL = -1  # the length of a payload that is null

_COUNT, _BEGUN, _DONE, _GRAY = range(4)
_SPAN = struct.Struct("=qq")  # offset and length of a payload
_OUTCOME = struct.Struct("=qqqq")  # _IMAGE, height, width, channels; or a reason, the length of its detail, 0, 0

_SPANS_AT = 64
_OUTCOMES_AT = _SPANS_AT + MOST_IMAGES * _SPAN.size
_DETAILS_AT = _OUTCOMES_AT + MOST_IMAGES * _OUTCOME.size
_PAYLOADS_AT = _DETAILS_AT + MOST_IMAGES * _DETAIL_BYTES


def make_file(max_bytes: int) -> IO[bytes]:
    """An unnamed file for exchanges of payloads of up to `max_bytes`."""
    file: IO[bytes]
    size = _PAYLOADS_AT + _payload_room(max_bytes) + PIXEL_BYTES
    if sys.platform == "linux":
        flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
        file = os.fdopen(os.memfd_create("sparkdl-decoder", flags), "r+b")
        file.truncate(size)
        # Of a file that was cut, the pages behind its end kill whoever reads them.
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    else:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as its decoder
        file.truncate(size)
    return file


def _payload_room(max_bytes: int) -> int:
    # One byte more than admitted, so that the decoder sees that a payload is too long.
    return max(max_bytes + 1, _LEAST_PAYLOAD_BYTES)


@dataclass(frozen=True)
class Progress:
    """How far the decoder says it has come with a request: images whose outcome is there, images that it has begun."""

    done: int = 0
    begun: int = 0

    def may_become(self, later: Progress, count: int) -> bool:
        """Whether an honest decoder of `count` images can say `later` after this."""
        return self.done <= later.done and self.begun <= later.begun and later.done <= later.begun <= count


@dataclass(frozen=True)
class Answer:
    """What is there of a request.

    Attributes
    ----------
    shapes
        int64 [N, 3]: height, width, channels of each of the first N images; 0, 0, 0 of one that was refused.
    pixels
        Those of all N, one after the other.
    rejected
        Why images were refused, by their index.
    in_image
        Whether the decoder says that it has begun one more.
    is_sound
        Whether all that the decoder has said makes sense; else N ends where it does not.
    """

    shapes: npt.NDArray[np.int64]
    pixels: memoryview
    rejected: dict[int, Rejected]
    in_image: bool
    is_sound: bool


class Exchange:
    """Either side's view of the shared memory.

    The worker fills in a request, the decoder notes each image that it begins and has done; what was done before the
    decoder died is there to be read.
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

    # The worker's part.

    @property
    def count(self) -> int:
        """Images of the request."""
        return len(self._sizes)

    def size_of(self, progress: Progress) -> int:
        """Bytes of the image that a decoder of such `progress` is in, 0 if it is in none."""
        return self._sizes[progress.done] if progress.done < min(progress.begun, self.count) else 0

    def progress(self) -> Progress:
        """What the decoder says at this moment."""
        done = self._counters[_DONE]  # first: the other one is never behind it
        return Progress(done, self._counters[_BEGUN])

    def fill(self, payloads: Sequence[memoryview | None], *, gray: bool = False) -> int:
        """A request of as many of `payloads` as there is room for, at least one, in gray or not; how many they are."""
        used, self._sizes = 0, []
        for index, payload in enumerate(payloads[:MOST_IMAGES]):
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
        np.frombuffer(self._memory, np.int64, 4 * count, _OUTCOMES_AT)[::4] = _NOTHING
        self._gray = gray
        return count

    def read(self) -> Answer:
        """What is done of the request; nothing where the counts make no sense."""
        said = self.progress()
        makes_sense = Progress().may_become(said, self.count)
        done = said.done if makes_sense else 0
        outcomes = np.frombuffer(self._memory, np.int64, 4 * done, _OUTCOMES_AT).reshape(-1, 4).copy()
        kinds, shapes = outcomes[:, 0], outcomes[:, 1:]
        is_image = kinds == _IMAGE
        heights, widths, channels = shapes.T
        images = (heights > 0) & (widths > 0) & (np.maximum(heights, widths) <= MOST_SIDE)
        images &= (channels == 1) | ((channels == 3) & (not self._gray))
        images[images] &= heights[images] * widths[images] <= MOST_PIXELS
        refusals = (kinds >= 0) & (kinds < len(_REASONS)) & (heights >= 0) & (heights <= _DETAIL_BYTES)
        ends = np.cumsum(np.where(is_image & images, shapes.prod(axis=1), 0))
        sound = np.where(is_image, images, refusals) & (ends <= PIXEL_BYTES)
        count = len(sound) if sound.all() else int(np.argmin(sound))
        refused = np.flatnonzero(~is_image[:count]).tolist()
        rejected = {index: self._rejected(index, int(kinds[index]), int(heights[index])) for index in refused}
        shapes[~is_image] = 0
        return Answer(
            shapes[:count],
            self._pixels[: int(ends[count - 1]) if count else 0],
            rejected,
            in_image=makes_sense and said.begun > count,
            is_sound=makes_sense and count == done,
        )

    def _rejected(self, index: int, kind: int, length: int) -> Rejected:
        start = _DETAILS_AT + index * _DETAIL_BYTES
        return Rejected(_REASONS[kind], bytes(self._view[start : start + length]).decode("utf-8", "replace"))

    # The decoder's part.

    def open(self) -> int:
        """Begins to write the outcomes of a request; how many images it has."""
        self._used = 0
        return self._counters[_COUNT]

    @property
    def gray(self) -> bool:
        """Whether the request is for gray."""
        return bool(self._counters[_GRAY])

    def begin(self, index: int) -> None:
        """Notes that image `index` is begun."""
        self._counters[_BEGUN] = index + 1

    def payload(self, index: int) -> bytes | None:
        """Image `index`; of one that is too long the beginning, which is too long as well."""
        offset, length = _SPAN.unpack_from(self._memory, _SPANS_AT + index * _SPAN.size)
        return None if length == _NULL else bytes(self._payloads[offset : offset + length])

    def write(self, index: int, outcome: Pixels | Rejected) -> bool:
        """Notes the outcome of image `index`; whether there is room for another picture."""
        place = _OUTCOMES_AT + index * _OUTCOME.size
        if isinstance(outcome, Rejected):
            detail = outcome.detail.encode("utf-8", "replace")
            start = _DETAILS_AT + index * _DETAIL_BYTES
            self._view[start : start + len(detail)] = detail
            _OUTCOME.pack_into(self._memory, place, _REASONS.index(outcome.reason), len(detail), 0, 0)
        else:
            end = self._used + outcome.size
            self._pixels[self._used : end] = outcome.reshape(-1).data
            _OUTCOME.pack_into(self._memory, place, _IMAGE, *outcome.shape)
            self._used = end
        self._counters[_DONE] = index + 1
        return self._used + _MOST_PICTURE <= PIXEL_BYTES
