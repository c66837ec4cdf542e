"""A Keras model, `.keras` or `.h5`, as one ONNX file; converted once and cached."""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.networks import hdf5
from sparkdl.networks.keras_files.checks import SUFFIXES, check_keras_file
from sparkdl.networks.keras_files.child import ask_child
from sparkdl.networks.validation import check_network
from sparkdl.system.cache import cache_directory, is_owned, write_cached
from sparkdl.system.extras import require_extra
from sparkdl.system.hashing import sha256

_log = logging.getLogger(__name__)

INPUT, OUTPUT = "input", "output"
"""The tensors of a converted network."""

_PROCESS = "sparkdl.networks.keras_files.process"
_FORMAT = 1  # raised when the same file starts to give another graph


@dataclass(frozen=True)
class Training:
    """How a Keras model is trained before it is converted.

    Attributes
    ----------
    arrays
        A directory with `features.npy`, float32 [N, ...], and `labels.npy`, float32 [N, K] or [N], if there are labels.
    optimizer, loss
        Names that Keras knows.
    fit
        Further arguments of `Model.fit`, as JSON.
    seed
        Of the weights' updates: shuffling and dropout.
    """

    arrays: Path
    optimizer: str
    loss: str
    fit: dict[str, Any]
    seed: int


def convert_keras(file: str, name: str | None = None) -> bytes:
    """Return the ONNX file of a Keras model, from the cache if it was converted before.

    Messages call it `name`, by default `file`.

    The graph has one input, `input`: [N, ...], of the type that the model takes, and one output, `output`: [N, ...].
    TensorFlow runs in a separate process, see `sparkdl.networks.keras_export`.

    Raises
    ------
    RequestError
        If there is no such file, it is no Keras model, or has more than one input or output.
    SparkdlError
        If it is refused (`sparkdl.networks.keras_files.checks`), or cannot be converted.
    """
    name = name or file
    with _checked_copy(file, name) as copy:
        cached = cache_directory("networks") / f"keras-{sha256(copy)[:32]}-{_FORMAT}.onnx"
        if is_owned(cached):
            return cached.read_bytes()
        _log.info("converting %s to ONNX", name)
        content = ask_child(_PROCESS, f"the conversion of {name}", {"file": str(copy), "name": name})
    check_network(content, name)
    write_cached(cached, content)
    return content


def train_keras(file: str, training: Training) -> bytes:
    """Train a Keras model in a separate process and return it as `convert_keras` does.

    The process uses a GPU if TensorFlow finds one.
    """
    with _checked_copy(file, file) as copy:
        request = {
            "file": str(copy),
            "name": file,
            "training": {
                "arrays": str(training.arrays),
                "optimizer": training.optimizer,
                "loss": training.loss,
                "fit": training.fit,
                "seed": training.seed,
            },
        }
        content = ask_child(_PROCESS, f"training {file}", request, environment={})
    check_network(content, file)
    return content


def keras_identity(file: str) -> str:
    """Return the SHA-256 of a Keras model; the path where there is no such file."""
    path = Path(file)
    return sha256(path) if path.is_file() else hashlib.sha256(file.encode()).hexdigest()


@contextmanager
def _checked_copy(file: str, name: str) -> Iterator[Path]:
    """Yield a copy of a Keras model that nobody else can change, checked."""
    path = Path(file)
    if path.suffix not in SUFFIXES:
        raise RequestError(f"expected a Keras model, a file {' or '.join(SUFFIXES)}, received {name!r}")
    if not path.is_file():
        raise RequestError(f"no such Keras model: {name}")
    if path.stat().st_size > hdf5.MAX_BYTES:
        raise SparkdlError(f"{name}: expected at most {hdf5.MAX_BYTES} bytes, received {path.stat().st_size}")
    require_extra("keras", f"the conversion of {name}")
    with tempfile.TemporaryDirectory(prefix="sparkdl-keras-") as directory:
        copy = Path(directory) / f"model{path.suffix}"
        shutil.copyfile(path, copy)
        check_keras_file(copy, name)
        yield copy
