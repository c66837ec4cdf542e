"""Keras files (`.keras`, `.h5`) as ONNX, with what their layers tell of their input."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from sparkdl.networks.hdf5 import MAX_BYTES
from sparkdl.networks.imported.description import NORMALIZATIONS, Described
from sparkdl.networks.imported.files import read_file
from sparkdl.networks.keras_files.checks import check_keras_file, scales_pixels
from sparkdl.networks.keras_files.conversion import convert_keras
from sparkdl.system.extras import require_extra


def read_keras(path: Path) -> tuple[bytes, Described]:
    """Return a Keras model as an ONNX file, and what its layers tell of its input.

    A separate process imports TensorFlow and converts the file, once it is checked. It takes 10 s and more, unless the
    file was converted before.

    Raises
    ------
    RequestError
        If the extra `keras` is not installed, or the file is not a Keras model.
    SparkdlError
        If the file is refused: a layer with code in it, links, too much of anything.
    """
    require_extra("keras", f"importing {path.name}")
    with TemporaryDirectory(prefix="sparkdl-import-") as directory:
        copy = Path(directory) / f"model{path.suffix.lower()}"
        copy.write_bytes(read_file(path, MAX_BYTES))  # nobody changes it after the check
        config = check_keras_file(copy, path.name)
        content = convert_keras(str(copy), path.name)
    scaling = NORMALIZATIONS["none"][0] if scales_pixels(config) else None
    return content, Described(layout="NHWC", channels="RGB", normalization=scaling)
