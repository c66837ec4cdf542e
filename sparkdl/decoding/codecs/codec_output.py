"""Codec output: keep Pillow and libtiff off the process's stderr while they decode, and capture libtiff's errors."""

from __future__ import annotations

import ctypes
import logging
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from sparkdl.decoding.codecs.pillow_private import LOGGERS, libtiff

_lock = threading.Lock()
_depth = 0
_saved: warnings.catch_warnings[None] | None = None


@contextmanager
def suppress_codec_output() -> Iterator[None]:
    """Suppress Python warnings and Pillow's log records inside the block, whatever filters and levels are set.

    Any number of threads may be inside. Python's warning filters belong to the process: the first thread to enter
    changes them and the last one to leave restores them. Other threads' warnings are suppressed in the meantime.
    """
    global _depth, _saved
    with _lock:
        if _depth == 0:
            _saved = warnings.catch_warnings()
            _saved.__enter__()
            warnings.simplefilter("ignore")
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0 and _saved is not None:
                _saved.__exit__(None, None, None)


def _is_outside(_: logging.LogRecord) -> bool:
    return _depth == 0


for _name in LOGGERS:
    # A filter, not a level: outside `suppress_codec_output`, Pillow logs as its user configured it.
    logging.getLogger(_name).addFilter(_is_outside)


# libtiff prints to stderr from C. Pillow's extension module is linked against it and exports its hooks. There is one
# hook in a process, hence the lock.

_Handler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
_libtiff_lock = threading.Lock()
_captured: list[str] = []
LIBTIFF = libtiff()
"""The libtiff that Pillow is linked against; None if it has none."""


def _capture(module: bytes | None, text: bytes | None, _: int | None) -> None:
    # The values are in a C va_list, whose layout differs between machines, so they are not inserted.
    if not _captured:
        message = re.sub(rb"%[-+ #0-9.*]*[a-zA-Z]+", b"?", text or b"error")
        _captured.append(f"{(module or b'libtiff').decode('latin-1')}: {message.decode('latin-1')}")


_capture_hook = _Handler(_capture)


@contextmanager
def capture_libtiff_errors(*, warnings_too: bool = False) -> Iterator[list[str]]:
    """Capture the first error that libtiff reports inside the block, instead of printing it.

    libtiff reports damage in fax and JPEG strips but still returns pixels; the list contains the message. Warnings are
    dropped unless `warnings_too`: a damaged line of a fax is a warning, and so is data that libjpeg replaces by gray.
    Only one thread at a time is inside. A message has "?" instead of each value ("Fax4Decode: Bad code word at line
    ?"). The list stays empty if Pillow was built without libtiff.
    """
    if LIBTIFF is None:
        yield []
        return
    with _libtiff_lock:
        _captured.clear()
        hook = ctypes.cast(_capture_hook, ctypes.c_void_p)
        errors = LIBTIFF.TIFFSetErrorHandler(hook)
        warned = LIBTIFF.TIFFSetWarningHandler(hook if warnings_too else None)
        try:
            yield _captured
        finally:
            LIBTIFF.TIFFSetErrorHandler(errors)
            LIBTIFF.TIFFSetWarningHandler(warned)
