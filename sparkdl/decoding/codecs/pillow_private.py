"""Private parts of Pillow that decoding depends on: C hooks, logger names, late imports, the decoder of AVIF.

They are not public interfaces, so an upgrade of Pillow may change them.
`tests/unit/sparkdl/decoding/test_pillow_private.py` names what is missing.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import PIL
from PIL import Image, _imaging, features

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
"""Functions of libtiff that Pillow's extension module must export, with the types of their results and arguments."""

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


class AvifFile:
    """AVIF file opened with the extension module behind Pillow's plugin.

    The plugin itself refuses a picture with damaged EXIF, and reads its number of threads from a global variable.

    Attributes
    ----------
    size
        Width and height before orientation.
    mode
        Pillow's mode of the pixels: L, RGB or RGBA.
    orientation
        The orientation from the container's `irot` and `imir`, as an EXIF value; EXIF itself does not count in AVIF.
    """

    def __init__(self, payload: bytes) -> None:
        from PIL import _avif  # missing in a Pillow without AVIF

        self._decoder = _avif.AvifDecoder(payload, "auto", 1)
        (self.size, _, self.mode, _, _, self.orientation, _) = self._decoder.get_info()

    def load(self) -> Image.Image:
        """Return the pixels of the first frame."""
        return Image.frombytes(self.mode, self.size, self._decoder.get_frame(0)[0])


def libtiff(extension: Path | None = None) -> ctypes.CDLL | None:
    """Return Pillow's extension module as a library with the hooks of libtiff; None if Pillow has no libtiff.

    Parameters
    ----------
    extension
        The library to load. Default: Pillow's own.

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
