"""The template of decoder processes, `python -m sparkdl.decoding.server`, and what its forks do: decode what a worker
asks for.

A worker starts one template, see `sparkdl.decoding.process`. It holds numpy and Pillow, no Spark and no Arrow, has one
thread, and meets no bytes from outside. Whenever the worker wants a decoder, the template forks one, which takes some
milliseconds; it ends decoders, and tells how they ended. Both end when the worker does.
"""

from __future__ import annotations

import gc
import importlib
import io
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image

from sparkdl.decoding.decode import decode
from sparkdl.decoding.sandbox import (
    adopt_orphans,
    confine,
    end_with_parent,
    is_filter_known,
    leave_no_core,
    mapped_memory,
)
from sparkdl.decoding.shared_memory import Exchange
from sparkdl.images.pixels import Pixels
from sparkdl.images.rejection import Limits, Reason, Rejected

FORK, KILL, WAIT = b"f", b"k", b"w"
"""What a worker asks its template for: a decoder, whose link comes along; the end of the decoder that there is; and the
same of one that has let go of its link."""
FILTERED, UNFILTERED = b"+", b"-"
"""What a template says when it is ready: whether the system calls of its decoders are filtered."""
NUMBER = struct.Struct("=q")
"""The answers: the number of the process; how it ended, as of `os.waitpid`, see `os.waitstatus_to_exitcode`."""
ASK = DONE = b"."
"""Between worker and decoder: decode the request in the shared memory; it is decoded."""
FAILED = b"!"
"""What a decoder says before it ends by an error of its own, with the error."""
MOST_SAID = 1000
"""Bytes of that."""

_CONTROL = 0
_GRACE = 0.05  # seconds in which a decoder that let go of its link may end by itself, so that it is known by what
_MOST_DESCRIPTORS = 64  # a template has ten
_OOM_SCORE = "500"  # of -1000 to 1000: where memory runs out, this process is to go, not its worker
_NEEDED_LATE = (
    "PIL.ImageCms",
    "PIL.ImageColor",
    "PIL.ImagePalette",
    "PIL.MpoImagePlugin",
    "PIL.TiffImagePlugin",
    "copy",
)
"""What Pillow imports when a picture needs it."""
_SAMPLES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    *(("PNG", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
    *(("JPEG", mode, {"progressive": progressive}) for mode in ("L", "RGB", "CMYK") for progressive in (False, True)),
    *(("GIF", mode, {}) for mode in ("L", "P")),
    *(("BMP", mode, {}) for mode in ("1", "L", "RGB", "RGBA")),
    *(("TIFF", mode, {"compression": "tiff_lzw"}) for mode in ("L", "RGB", "LAB", "CMYK", "F", "I")),
    ("TIFF", "1", {"compression": "group4"}),
    ("WEBP", "RGB", {"lossless": True}),
    *(("WEBP", mode, {"quality": 80}) for mode in ("RGB", "RGBA")),
)
"""Format, mode and options of the pictures that a template decodes itself, so that all that is needed is loaded."""


# --- a decoder ---------------------------------------------------------------------------------------------------


def serve(exchange: Exchange, limits: Limits) -> None:
    """Decodes request after request until the worker is gone."""
    while os.read(_CONTROL, 1):
        for index in range(exchange.open()):
            exchange.begin(index)
            if not exchange.write(index, _decode(exchange, index, limits)):
                break
        os.write(_CONTROL, DONE)


def _decode(exchange: Exchange, index: int, limits: Limits) -> Pixels | Rejected:
    try:
        return decode(exchange.payload(index), limits, reduce=True, gray=exchange.gray)
    except MemoryError:
        return Rejected(Reason.TOO_MANY_PIXELS, "out of memory")


class _NoImports:
    """Ends a decoder that imports a module, which it can no longer read, instead of refusing the picture for that."""

    def find_spec(self, name: str, *_: object) -> None:
        raise SystemExit(f"module {name} was not loaded before the decoder was confined")


def _run(work: Callable[[], None], link: int, template: int, most: int | None, *, filtered: bool) -> None:
    """Does `work` in a process that was just forked, confined, with `link` as its descriptor 0; never returns."""
    code = 1
    try:
        end_with_parent(template)
        os.setsid()
        os.dup2(link, _CONTROL)
        os.dup2(1, 2)  # the null device; what codecs print, they print from C
        os.closerange(3, _MOST_DESCRIPTORS)
        sys.meta_path.insert(0, _NoImports())
        confine(most, filtered=filtered)
        with suppress(ConnectionError):
            work()
        code = 0
    except BaseException as error:  # noqa: BLE001 - whatever it is, the worker is to hear of it
        with suppress(OSError):
            os.write(_CONTROL, (FAILED + f"{type(error).__name__}: {error}".encode("utf-8", "replace"))[:MOST_SAID])
    finally:
        os._exit(code)


# --- the template ------------------------------------------------------------------------------------------------


class Template:
    """Forks decoders, one at a time, and ends them.

    Parameters
    ----------
    exchange
        Shared with the worker, and with each decoder.
    memory
        Bytes that a decoder may take beyond what it has when it is forked.
    """

    def __init__(self, exchange: Exchange, limits: Limits, memory: int) -> None:
        self._exchange = exchange
        self._limits = limits
        mapped = mapped_memory()
        self._most = None if mapped is None else mapped + memory
        self._decoder: int | None = None
        self._filtered = is_filter_known() and self._tries_the_filter()

    def run(self) -> None:
        """Does what the worker asks for until it is gone."""
        control = socket.socket(fileno=os.dup(_CONTROL))
        control.sendall(FILTERED if self._filtered else UNFILTERED)
        while True:
            asked, links, _, _ = socket.recv_fds(control, 1, 1)
            if asked == FORK and links:
                control.sendall(NUMBER.pack(self._fork(links[0])))
            elif asked in (KILL, WAIT):
                control.sendall(NUMBER.pack(self._end(_GRACE if asked == WAIT else 0)))
            else:
                break
        self._end(0)

    def _fork(self, link: int) -> int:
        self._end(0)
        self._decoder = self._forked(lambda: serve(self._exchange, self._limits), link, filtered=self._filtered)
        os.close(link)
        return self._decoder

    def _forked(self, work: Callable[[], None], link: int, *, filtered: bool) -> int:
        template = os.getpid()
        decoder = os.fork()
        if not decoder:
            _run(work, link, template, self._most, filtered=filtered)
        return decoder

    def _tries_the_filter(self) -> bool:
        """Whether a decoder whose system calls are filtered decodes what it should."""
        link = os.open(os.devnull, os.O_RDWR)
        _, status = os.waitpid(self._forked(decode_samples, link, filtered=True), 0)
        os.close(link)
        return status == 0

    def _end(self, grace: float) -> int:
        """Ends the decoder with all that it has started; how it ended."""
        if self._decoder is None:
            return 0
        decoder, self._decoder = self._decoder, None
        status = _wait(decoder, grace)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(decoder, signal.SIGKILL)
        if status is None:
            with suppress(ProcessLookupError):  # it has not made a session of its own yet
                os.kill(decoder, signal.SIGKILL)
            _, status = os.waitpid(decoder, 0)
        _end_orphans()
        return status


def _wait(process: int, seconds: float) -> int | None:
    """How a child has ended, None if it has not in `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return status
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.001)


def _end_orphans() -> None:
    """Ends what a decoder has left behind, where its system calls were not filtered."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    with suppress(ChildProcessError):
        while True:
            ended, _ = os.waitpid(-1, os.WNOHANG)
            if ended:
                continue
            try:
                left = [int(child) for child in children.read_text().split()]
            except OSError:
                return
            for child in left:
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            os.waitpid(-1, 0)


def load_all() -> None:
    """Loads whatever decoding may need later on."""
    for module in _NEEDED_LATE:
        with suppress(ImportError):  # Pillow may be built without it, and then needs it never
            importlib.import_module(module)
    for encoding in ("ascii", "latin-1", "utf-8", "utf-16"):
        b"".decode(encoding)
    _made.extend(_samples())
    decode_samples()


_made: list[bytes] = []


def _samples() -> list[bytes]:
    made = []
    for image_format, mode, options in _SAMPLES:
        target = io.BytesIO()
        with suppress(OSError, KeyError):  # Pillow may be built without this format
            Image.new(mode, (24, 16)).save(target, image_format, **options)
            made.append(target.getvalue())
    return made


def decode_samples() -> None:
    """Decodes a picture of each kind, whole, cut and damaged; what is loaded late is loaded then."""
    for payload in _made:
        decode(payload, reduce=True, gray=True)
        decode(payload[: -len(payload) // 4])
        decode(payload[: len(payload) // 2] + b"\xff" + payload[len(payload) // 2 + 1 :])


def main() -> None:
    descriptor, worker, max_bytes, max_pixels, memory = map(int, sys.argv[1:])
    end_with_parent(worker)
    adopt_orphans()
    for number in (signal.SIGINT, signal.SIGTERM):  # the worker's business: it may want to end its batch
        signal.signal(number, signal.SIG_IGN)
    with suppress(OSError):  # no /proc, or a container that lets nobody write there
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
    leave_no_core()
    exchange = Exchange(descriptor, max_bytes)
    os.close(descriptor)
    load_all()
    gc.collect()
    gc.freeze()  # a collection of a fork is not to touch, and so copy, what the template has
    with suppress(ConnectionError):
        Template(exchange, Limits(max_bytes=max_bytes, max_pixels=max_pixels), memory).run()


if __name__ == "__main__":
    main()
