"""Checks of a whole Keras model, `.keras` or `.h5`, before Keras opens it: nothing in it may be code."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.networks import hdf5
from sparkdl.networks.keras_files.allowed import CLASSES, FUNCTIONS

SUFFIXES = (".keras", ".h5", ".hdf5")

_MEMBERS = {"config.json", "metadata.json", "model.weights.h5"}
_MAX_CONFIG_BYTES = 32 << 20
_MAX_VALUES = 2_000_000
_MAX_SIZE = 1 << 24  # of a layer; the largest of VGG16 is 4,096
_NO_SIZES = ("seed", "shared_object_id")
_SCALERS = ("Rescaling", "Normalization")
_MAX_ARCHIVE_BYTES = hdf5.MAX_BYTES + (_MAX_CONFIG_BYTES << 1)
_MODULE = re.compile(r"(tf_)?keras(\.[A-Za-z_]\w*)*", re.ASCII)
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_NO_CODE = "expected layers of Keras that hold numbers and names only; export the network as ONNX instead"


def check_keras_file(path: Path, name: str) -> dict[str, Any]:
    """Return the configuration of a Keras model that can do no more than compute. Keras does not open the file.

    Keras's own safe mode does not look into `.h5` files in all its releases, and has had ways around it in `.keras`
    files. So the configuration is held against a table of classes (`sparkdl.networks.keras_files.allowed`), and the
    weights are checked as any file of weights (`sparkdl.networks.hdf5`).

    Parameters
    ----------
    path
        The file, as it will be read.
    name
        What the message calls it.

    Raises
    ------
    SparkdlError
        Naming what is refused: a class or function that is not in the table (`Lambda`, custom layers), a pickle, a
        member that no Keras archive has, weights that lie elsewhere or are too large.
    RequestError
        If the file is neither an archive nor HDF5, or holds weights without a model.
    """
    with path.open("rb") as file:
        beginning = file.read(len(_SIGNATURE))
    try:
        if path.suffix == ".keras" and zipfile.is_zipfile(path):
            config: str | bytes = _config_of_archive(path, name)
        elif beginning == _SIGNATURE:
            hdf5.check(path)
            config = _config_of_hdf5(path, name)
        else:
            raise RequestError(f"{name}: expected a Keras model, .keras or .h5, received another kind of file")
        return check_config(json.loads(config), name)
    except SparkdlError:
        raise
    except (ValueError, KeyError, RecursionError, OSError, RuntimeError, zipfile.BadZipFile) as error:
        raise SparkdlError(f"{name} is refused: {str(error)[:300]}") from error


def check_config(config: Any, name: str) -> dict[str, Any]:
    """Return a configuration without what the model was compiled with, which is not read.

    Raises
    ------
    SparkdlError
        Naming the first class, function or module that is not one of Keras, or the first size or number of values that
        is too large.
    """
    if not isinstance(config, dict) or config.get("class_name") not in CLASSES:
        received = config.get("class_name") if isinstance(config, dict) else type(config).__name__
        raise SparkdlError(f"{name} is refused: it holds {str(received)[:100]!r}, {_NO_CODE}")
    checked = {key: value for key, value in config.items() if key != "compile_config"}
    waiting: list[tuple[str, Any]] = [("", checked)]
    seen = 0
    while waiting:
        key, value = waiting.pop()
        seen += 1
        if seen > _MAX_VALUES:
            raise SparkdlError(f"{name} is refused: its configuration has more than {_MAX_VALUES} values")
        if isinstance(value, list):
            waiting.extend((key, entry) for entry in value)
        elif isinstance(value, dict):
            if "class_name" in value:
                _check_object(value, name)
            waiting.extend(value.items())
        elif isinstance(value, int) and abs(value) > _MAX_SIZE and key not in _NO_SIZES:
            raise SparkdlError(f"{name} is refused: expected sizes up to {_MAX_SIZE}, received {key[:100]} {value}")
    return checked


def scales_pixels(config: Mapping[str, Any]) -> bool:
    """Return whether a model has a layer that scales its input, so that it takes pixels as they are, 0 to 255."""
    waiting: list[Any] = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            if value.get("class_name") in _SCALERS:
                return True
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return False


def _check_object(value: dict[str, Any], name: str) -> None:
    kind, module, registered = value["class_name"], value.get("module"), value.get("registered_name")
    if kind == "function":
        function = value.get("config")
        if function not in FUNCTIONS or registered not in (None, "function", function) or not _is_of_keras(module):
            raise SparkdlError(f"{name} is refused: it names the function {str(function)[:100]!r}, {_NO_CODE}")
        return
    if not isinstance(kind, str) or kind not in CLASSES or registered not in (None, kind):
        raise SparkdlError(
            f"{name} is refused: it holds {str(registered or kind)[:100]!r}, {_NO_CODE}"
            if kind in CLASSES
            else f"{name} is refused: it holds {str(kind)[:100]!r}, {_NO_CODE}"
        )
    if not _is_of_keras(module):
        raise SparkdlError(f"{name} is refused: its {kind} is of module {str(module)[:100]!r}, {_NO_CODE}")


def _is_of_keras(module: Any) -> bool:
    if module is None or module == "builtins":
        return True
    return isinstance(module, str) and _MODULE.fullmatch(module) is not None


def _config_of_archive(path: Path, name: str) -> bytes:
    with zipfile.ZipFile(path) as archive:
        members = archive.namelist()
        if set(members) - _MEMBERS or len(set(members)) != len(members):
            strange = next((member for member in members if member not in _MEMBERS), members[-1])
            raise SparkdlError(f"{name} is refused: {strange[:100]!r} is not part of a Keras model")
        if sum(member.file_size for member in archive.infolist()) > _MAX_ARCHIVE_BYTES:
            raise SparkdlError(f"{name} is refused: it unpacks to more than {_MAX_ARCHIVE_BYTES >> 30} GiB")
        config = _read(archive, "config.json")
    import tempfile

    with tempfile.TemporaryDirectory(prefix="sparkdl-weights-") as directory:
        hdf5.weights_only(path, Path(directory))
    return config


def _read(archive: zipfile.ZipFile, member: str) -> bytes:
    with archive.open(member) as file:
        content = file.read(_MAX_CONFIG_BYTES + 1)
    if len(content) > _MAX_CONFIG_BYTES:
        raise ValueError(f"{member} is larger than {_MAX_CONFIG_BYTES >> 20} MiB")
    return content


def _config_of_hdf5(path: Path, name: str) -> str | bytes:
    import h5py

    with h5py.File(path, "r") as file:
        config: Any = file.attrs.get("model_config")
    if config is None:
        raise RequestError(f"{name} holds weights without a model: save it by model.save, not by save_weights")
    if not isinstance(config, str | bytes):
        raise ValueError("its configuration is no text")
    return config
