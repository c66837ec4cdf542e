"""Promises of `pillow_private`: the installed Pillow has each private part, or the test names it."""

from __future__ import annotations

import ctypes
import importlib
import io
import subprocess
import sys
from pathlib import Path

import PIL
import pytest
from needs import need
from pictures import RGB, encode
from PIL import Image, _imaging, features

from sparkdl.decoding.codecs.pillow_private import LATE_MODULES, LIBTIFF_HOOKS, LOGGERS, AvifFile, libtiff
from sparkdl.errors import SparkdlError

PILLOW = f"Pillow {PIL.__version__}"


@pytest.mark.parametrize("hook", LIBTIFF_HOOKS)
def test_pillow_exports_the_hooks_of_libtiff(hook: str) -> None:
    assert features.check_codec("libtiff"), f"{PILLOW} has no libtiff"
    assert hasattr(ctypes.CDLL(str(_imaging.__file__)), hook), f"{PILLOW} does not export {hook}"
    assert hasattr(libtiff(), hook)


@pytest.mark.parametrize("name", LOGGERS)
def test_pillow_logs_by_the_names_that_are_filtered(name: str) -> None:
    logger = getattr(importlib.import_module(name), "logger", None)
    assert logger is not None, f"{PILLOW}: {name} has no logger"
    assert logger.name == name, f"{PILLOW}: {name} logs as {logger.name}"


@pytest.mark.parametrize("name", LATE_MODULES)
def test_pillow_has_the_modules_that_a_template_loads(name: str) -> None:
    assert importlib.util.find_spec(name), f"{PILLOW} has no {name}"


@pytest.mark.parametrize(("orientation", "size"), [(1, (40, 24)), (6, (40, 24))])
def test_pillow_opens_avif_as_its_plugin_does(orientation: int, size: tuple[int, int]) -> None:
    need(features.check("avif"), f"{PILLOW} has no AVIF")
    exif = Image.Exif()
    exif[0x0112] = orientation
    payload = encode(RGB, "AVIF", max_threads=1, exif=exif)
    opened = AvifFile(payload)
    assert (opened.size, opened.mode, opened.orientation) == (size, "RGB", orientation)
    with Image.open(io.BytesIO(payload)) as image:
        assert opened.load().tobytes() == image.tobytes()


def test_a_missing_hook_is_an_error_that_names_it() -> None:
    other = Path(importlib.import_module("PIL._imagingmath").__file__ or "")  # a library without libtiff
    with pytest.raises(
        SparkdlError, match=rf"^{PILLOW}: {other.name} does not export .*, without which TIFF files cannot be read"
    ) as raised:
        libtiff(other)
    assert all(hook in str(raised.value) for hook in LIBTIFF_HOOKS)


def test_a_library_that_cannot_be_loaded_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "broken.so").write_bytes(b"not a library")
    with pytest.raises(SparkdlError, match=rf"^{PILLOW}: broken\.so cannot be loaded as a library: "):
        libtiff(tmp_path / "broken.so")


def test_a_decoder_does_not_start_without_the_hooks() -> None:
    program = (
        "from PIL import _imaging, _imagingmath\n"
        "_imaging.__file__ = _imagingmath.__file__\n"  # where the hooks are looked for
        "import sparkdl.decoding.isolation.server\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert (
        f"{PILLOW}: {Path(importlib.import_module('PIL._imagingmath').__file__ or '').name} does not export"
        in done.stderr
    )
