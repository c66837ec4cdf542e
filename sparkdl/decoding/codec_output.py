"""Keep Pillow and libtiff off the process's stderr while a file from outside is decoded, and hear what libtiff says."""

from __future__ import annotations

import ctypes
import logging
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import _imaging

_lock = threading.Lock()
_depth = 0
_saved: warnings.catch_warnings[None] | None = None


@contextmanager
def quiet() -> Iterator[None]:
    """No Python warning and no Pillow log record comes out of the block, whatever filters and levels are set.

    Any number of threads may be inside. Python's warning filters belong to the process, so the first thread in
    changes them and the last one out puts them back: in between, other threads' warnings are silent too.
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


def _outside(_: logging.LogRecord) -> bool:
    return _depth == 0


for _name in ("PIL.Image", "PIL.ImageFile", "PIL.PngImagePlugin", "PIL.TiffImagePlugin"):
    # A filter, not a level: outside `quiet` Pillow logs as its user configured it.
    logging.getLogger(_name).addFilter(_outside)


# libtiff prints to stderr from C. Pillow is linked against it, so its error hook is reached through Pillow's own
# extension module. It is one hook a process, hence the lock.

_Handler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
_libtiff_lock = threading.Lock()


def _libtiff() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(_imaging.__file__)
        setters = (library.TIFFSetErrorHandler, library.TIFFSetWarningHandler)
    except (OSError, AttributeError):
        # Built without libtiff, or with it linked in statically and its symbols hidden: it keeps its own handler.
        return None
    for setter in setters:
        setter.restype, setter.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    return library


_LIBTIFF = _libtiff()


@contextmanager
def libtiff_complaints() -> Iterator[list[str]]:
    """Keeps the first error that libtiff reports inside the block, instead of printing them; drops its warnings.

    libtiff reports damage in fax and JPEG strips and still returns a picture; the list tells. One thread at a time is
    inside. A message has "?" where libtiff's has a value ("Fax4Decode: Bad code word at line ?").
    """
    heard: list[str] = []
    if _LIBTIFF is None:
        yield heard
        return

    def listen(module: bytes | None, text: bytes | None, _: int | None) -> None:
        # The values would have to be taken from a C va_list, whose layout differs between machines.
        if not heard:
            words = re.sub(rb"%[-+ #0-9.*]*[a-zA-Z]+", b"?", text or b"error")
            heard.append(f"{(module or b'libtiff').decode('latin-1')}: {words.decode('latin-1')}")

    handler = _Handler(listen)
    with _libtiff_lock:
        errors = _LIBTIFF.TIFFSetErrorHandler(ctypes.cast(handler, ctypes.c_void_p))
        warned = _LIBTIFF.TIFFSetWarningHandler(None)
        try:
            yield heard
        finally:
            _LIBTIFF.TIFFSetErrorHandler(errors)
            _LIBTIFF.TIFFSetWarningHandler(warned)
