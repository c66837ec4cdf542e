"""Decoder server: the template process (`python -m sparkdl.decoding.isolation.server`) and the decoders that it forks.

A worker starts one template; see `sparkdl.decoding.isolation.process`. The template has loaded numpy and Pillow, but
neither Spark nor Arrow, has one thread, and reads no untrusted bytes. On request it forks a decoder, which takes a few
milliseconds, ends it, and reports how it ended. Template and decoder end when the worker ends.
"""

from __future__ import annotations

import codecs
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

from sparkdl.decoding.codecs.damage import failure_of
from sparkdl.decoding.codecs.heif_pictures import is_readable
from sparkdl.decoding.codecs.heif_samples import HEIF_SAMPLES
from sparkdl.decoding.codecs.pillow_private import LATE_MODULES
from sparkdl.decoding.decode import decode
from sparkdl.decoding.isolation.sandbox import (
    adopt_orphans,
    confine,
    end_with_parent,
    is_filter_known,
    leave_no_core,
    mapped_memory,
)
from sparkdl.decoding.isolation.shared_memory import SharedMemory
from sparkdl.images.pixels import Pixels
from sparkdl.images.rejection import Limits, Reason, Rejected

FORK, KILL, WAIT = b"f", b"k", b"w"
"""Requests to the template: fork a decoder (its socket is attached); kill the decoder; wait for a decoder that has
closed its socket, then kill it."""
FILTERED, UNFILTERED = b"+", b"-"
"""The template's message when it is ready, which states whether the system calls of its decoders are filtered."""
NUMBER = struct.Struct("=q")
"""Replies: the process id; the wait status of `os.waitpid`, see `os.waitstatus_to_exitcode`."""
ASK = DONE = b"."
"""Between worker and decoder: decode the request in the shared memory; the request is decoded."""
FAILED = b"!"
"""First byte of a decoder's message before it exits because of an internal error; the error follows."""
MAX_MESSAGE_BYTES = 1000
"""Maximum length of that message, bytes."""

_CONTROL = 0
_GRACE = 0.05  # seconds for a decoder to end by itself after it closed its socket, so that its exit status is known
_MAX_DESCRIPTORS = 64  # a template uses ten
_OOM_SCORE = "500"  # of -1000 to 1000: when memory runs out, the kernel kills this process, not its worker
_SAMPLES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    *(("PNG", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
    *(("JPEG", mode, {"progressive": progressive}) for mode in ("L", "RGB", "CMYK") for progressive in (False, True)),
    *(("GIF", mode, {}) for mode in ("L", "P")),
    *(("BMP", mode, {}) for mode in ("1", "L", "RGB", "RGBA")),
    *(("TIFF", mode, {"compression": "tiff_lzw"}) for mode in ("L", "RGB", "LAB", "CMYK", "F", "I", "I;16")),
    *(("TIFF", "RGB", {"compression": name}) for name in ("jpeg", "packbits", "tiff_adobe_deflate")),
    *(("TIFF", mode, {}) for mode in ("P", "RGBA", "YCbCr")),
    ("TIFF", "1", {"compression": "group4"}),
    ("WEBP", "RGB", {"lossless": True}),
    *(("WEBP", mode, {"quality": 80}) for mode in ("RGB", "RGBA")),
)
"""Format, mode and options of the pictures that a template itself decodes to load everything that decoding needs."""


# --- a decoder ---------------------------------------------------------------------------------------------------


def serve(shared: SharedMemory, limits: Limits) -> None:
    """Decode requests until the worker ends."""
    while os.read(_CONTROL, 1):
        for index in range(shared.open()):
            shared.begin(index)
            if not shared.write(index, _decode(shared, index, limits)):
                break
        os.write(_CONTROL, DONE)


def _decode(shared: SharedMemory, index: int, limits: Limits) -> Pixels | Rejected:
    try:
        return decode(shared.payload(index), limits, reduce=True, gray=shared.gray)
    except MemoryError:
        return Rejected(Reason.TOO_MANY_PIXELS, "out of memory")


class _NoImports:
    """Import hook that ends a decoder when it imports a module, instead of blaming the picture."""

    def find_spec(self, name: str, *_: object) -> None:
        raise SystemExit(f"module {name} was not loaded before the decoder was confined")


def _run(work: Callable[[], None], link: int, template: int, max_memory: int | None, *, filtered: bool) -> None:
    """Run `work` in a process that was just forked, confined, with `link` as its descriptor 0; never return."""
    code = 1
    try:
        end_with_parent(template)
        os.setsid()
        os.dup2(link, _CONTROL)
        os.dup2(1, 2)  # the null device; codecs print from C
        os.closerange(3, _MAX_DESCRIPTORS)
        sys.meta_path.insert(0, _NoImports())
        confine(max_memory, filtered=filtered, threads=is_readable("HEIC"))
        with suppress(ConnectionError):
            work()
        code = 0
    except BaseException as error:  # noqa: BLE001 - every error is reported to the worker
        with suppress(OSError):
            os.write(_CONTROL, (FAILED + failure_of(error).encode("utf-8", "replace"))[:MAX_MESSAGE_BYTES])
    finally:
        os._exit(code)


# --- the template ------------------------------------------------------------------------------------------------


class Template:
    """Template process that forks and ends decoders, one at a time.

    Parameters
    ----------
    shared
        Memory shared with the worker and with each decoder.
    memory
        Bytes that a decoder may allocate in addition to its memory at the fork.
    """

    def __init__(self, shared: SharedMemory, limits: Limits, memory: int) -> None:
        self._shared = shared
        self._limits = limits
        mapped = mapped_memory()
        self._max_memory = None if mapped is None else mapped + memory
        self._decoder: int | None = None
        self._filtered = is_filter_known() and self._filter_works()

    def run(self) -> None:
        """Serve the worker's requests until it ends."""
        control = socket.socket(fileno=os.dup(_CONTROL))
        control.sendall(FILTERED if self._filtered else UNFILTERED)
        while True:
            request, links, _, _ = socket.recv_fds(control, 1, 1)
            if request == FORK and links:
                control.sendall(NUMBER.pack(self._fork(links[0])))
            elif request in (KILL, WAIT):
                control.sendall(NUMBER.pack(self._end(_GRACE if request == WAIT else 0)))
            else:
                break
        self._end(0)

    def _fork(self, link: int) -> int:
        self._end(0)
        self._decoder = self._forked(lambda: serve(self._shared, self._limits), link, filtered=self._filtered)
        os.close(link)
        return self._decoder

    def _forked(self, work: Callable[[], None], link: int, *, filtered: bool) -> int:
        template = os.getpid()
        decoder = os.fork()
        if not decoder:
            _run(work, link, template, self._max_memory, filtered=filtered)
        return decoder

    def _filter_works(self) -> bool:
        """Whether a decoder with filtered system calls can decode the samples."""
        link = os.open(os.devnull, os.O_RDWR)
        _, status = os.waitpid(self._forked(decode_samples, link, filtered=True), 0)
        os.close(link)
        return status == 0

    def _end(self, grace: float) -> int:
        """End the decoder and all its child processes; return its wait status."""
        if self._decoder is None:
            return 0
        decoder, self._decoder = self._decoder, None
        status = _wait(decoder, grace)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(decoder, signal.SIGKILL)
        if status is None:
            with suppress(ProcessLookupError):  # it has not created its own session yet
                os.kill(decoder, signal.SIGKILL)
            _, status = os.waitpid(decoder, 0)
        _end_orphans()
        return status


def _wait(process: int, seconds: float) -> int | None:
    """Return the wait status of a child, None if it has not ended within `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return status
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.001)


def _end_orphans() -> None:
    """Kill processes that a decoder left behind, which is possible only without the filter."""
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
    """Load every module that decoding may need later."""
    for module in (*LATE_MODULES, "copy"):
        with suppress(ImportError):  # a Pillow that was built without it never needs it
            importlib.import_module(module)
    for encoding in ("ascii", "latin-1", "cp1252", "utf-8", "utf-16", "utf-16-le", "utf-16-be"):
        codecs.lookup(encoding)
    _samples.extend(_encode_samples())
    decode_samples()


_samples: list[bytes] = []


def _encode_samples() -> list[bytes]:
    made = []
    for image_format, mode, options in _SAMPLES:
        target = io.BytesIO()
        with suppress(OSError, KeyError):  # Pillow may be built without this format
            Image.new(mode, (24, 16)).save(target, image_format, **options)
            made.append(target.getvalue())
    return made + [payload for name, payload in HEIF_SAMPLES if is_readable(name)]


def decode_samples() -> None:
    """Decode a whole, a truncated and a damaged picture of each kind, to load modules that are imported late."""
    for payload in _samples:
        decode(payload, reduce=True, gray=True)
        decode(payload[: -len(payload) // 4])
        decode(payload[: len(payload) // 2] + b"\xff" + payload[len(payload) // 2 + 1 :])


def main() -> None:
    descriptor, worker, max_bytes, max_pixels, memory = map(int, sys.argv[1:])
    end_with_parent(worker)
    adopt_orphans()
    for number in (signal.SIGINT, signal.SIGTERM):  # handled by the worker, which may finish its batch
        signal.signal(number, signal.SIG_IGN)
    with suppress(OSError):  # no /proc, or a container in which it is read-only
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
    leave_no_core()
    shared = SharedMemory(descriptor, max_bytes)
    os.close(descriptor)
    load_all()
    gc.collect()
    gc.freeze()  # a collection in a fork must not touch the template's pages, which would copy them
    with suppress(ConnectionError):
        Template(shared, Limits(max_bytes=max_bytes, max_pixels=max_pixels), memory).run()


if __name__ == "__main__":
    main()
