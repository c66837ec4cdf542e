"""Private parts of Pillow that decoding depends on: C hooks, logger names, late imports, wording of errors.

They are not public interfaces, so an upgrade of Pillow may change them.
`tests/unit/sparkdl/decoding/test_pillow_private.py` names what is gone.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import PIL
from PIL import _imaging, features

from sparkdl.errors import SparkdlError

_POINTER, _NUMBER = ctypes.c_void_p, ctypes.c_ssize_t
LIBTIFF_HOOKS: dict[str, tuple[type | None, tuple[type, ...]]] = {
    "TIFFSetErrorHandler": (_POINTER, (_POINTER,)),
    "TIFFSetWarningHandler": (_POINTER, (_POINTER,)),
    "TIFFClientOpen": (_POINTER, (ctypes.c_char_p, ctypes.c_char_p, *(_POINTER,) * 8)),
    "TIFFClose": (None, (_POINTER,)),
    "TIFFStripSize": (_NUMBER, (_POINTER,)),
    "TIFFReadEncodedStrip": (_NUMBER, (_POINTER, ctypes.c_uint32, _POINTER, _NUMBER)),
    "TIFFIsCODECConfigured": (ctypes.c_int, (ctypes.c_uint16,)),
    "TIFFSetField": (ctypes.c_int, (_POINTER, ctypes.c_uint32)),
}
"""Functions of libtiff that Pillow's extension module, which is linked against it, must export: what they return and
take."""

LOGGERS = ("PIL.ImageFile", "PIL.PngImagePlugin", "PIL.TiffImagePlugin")
"""The loggers that write records while a file is decoded."""

LATE_MODULES = (
    "PIL.ImageCms",
    "PIL.ImageColor",
    "PIL.ImagePalette",
    "PIL.MpoImagePlugin",
    "PIL.TiffImagePlugin",
)
"""Modules that Pillow imports only when a picture needs them."""

UNSUPPORTED_MESSAGES = ("unsupported", "cannot handle", "not yet supported", "unknown pixel mode", "unknown data organ")
"""Parts of the errors, in lower case, by which Pillow says that a file is sound but of a kind that it does not
decode."""


def libtiff(extension: Path | None = None) -> ctypes.CDLL | None:
    """Return Pillow's extension module as a library with the hooks of libtiff; None if Pillow has no libtiff.

    Parameters
    ----------
    extension
        The library to look in. Default: Pillow's own.

    Raises
    ------
    SparkdlError
        If Pillow has libtiff but does not export `LIBTIFF_HOOKS`.
    """
    if not features.check_codec("libtiff"):
        return None
    path = extension or Path(str(_imaging.__file__))
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise SparkdlError(f"Pillow {PIL.__version__}: {path.name} cannot be loaded as a library: {error}") from error
    if missing := [name for name in LIBTIFF_HOOKS if not hasattr(library, name)]:
        raise SparkdlError(
            f"Pillow {PIL.__version__}: {path.name} does not export {', '.join(missing)}, "
            "without which TIFF files cannot be read: install a wheel of Pillow from the package index"
        )
    for name, (result, arguments) in LIBTIFF_HOOKS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
