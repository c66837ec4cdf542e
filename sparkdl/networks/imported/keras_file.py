"""Keras files (`.keras`, `.h5`): checked and converted to ONNX in a separate process."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.networks.hdf5 import MAX_BYTES
from sparkdl.networks.imported.description import NORMALIZATIONS, Described
from sparkdl.networks.imported.files import read_file
from sparkdl.networks.keras_files.child import CHILD_ENVIRONMENT, last_words
from sparkdl.system.extras import require_extra
from sparkdl.system.subprocesses import python_command, python_environment


def read_keras(path: Path) -> tuple[bytes, Described]:
    """Return a Keras model as an ONNX file, and what its layers tell of its input.

    The file is copied, checked (`keras_config`, `sparkdl.networks.hdf5`) and loaded by a process that imports
    TensorFlow, so this one does not. It takes 10 s and more.

    Raises
    ------
    RequestError
        If the extra `keras` is not installed, or the model is not one of images.
    SparkdlError
        If the file is refused: a layer with code in it, links, too much of anything.
    """
    require_extra("keras", f"importing {path.name}")
    content = read_file(path, MAX_BYTES)
    with TemporaryDirectory(prefix="sparkdl-import-") as name:
        directory = Path(name)
        (directory / f"model{path.suffix.lower()}").write_bytes(content)  # nobody changes it after the check
        child = subprocess.run(
            python_command("-m", "sparkdl.networks.imported.keras_conversion", str(directory), path.name),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env=python_environment(**CHILD_ENVIRONMENT),
        )
        answer = directory / "answer.json"
        if not answer.is_file():
            raise SparkdlError(f"the conversion of {path.name} {last_words(child)}")
        said = json.loads(answer.read_text("utf-8"))
        if "error" in said:
            raise (RequestError if said["is_request"] else SparkdlError)(said["error"])
        described = Described(
            layout="NHWC", channels="RGB", normalization=NORMALIZATIONS["none"][0] if said["scales_itself"] else None
        )
        return (directory / "model.onnx").read_bytes(), described
