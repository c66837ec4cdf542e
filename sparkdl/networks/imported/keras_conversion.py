"""Conversion of a Keras file to ONNX, as a process: what imports TensorFlow to load a model from outside.

Keras's own loading is not used: it resolves classes and functions by the names that a file gives. The configuration is
checked against a table, and given to Keras without what it was compiled with; the weights are arrays of numbers.
"""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.networks import hdf5
from sparkdl.networks.imported.errors import first_line
from sparkdl.networks.imported.keras_config import MAX_BYTES, parse_config, scales_itself

_CONFIG = "config.json"


def convert(path: Path, name: str) -> tuple[bytes, bool]:
    """Return a Keras model as ONNX, and whether it scales pixels itself; imports TensorFlow, once the file is checked.

    Parameters
    ----------
    path
        The file, in a directory that nobody else writes to.
    name
        What messages call it.

    Raises
    ------
    RequestError
        If it is not a model of images.
    SparkdlError
        If it is refused.
    """
    try:
        if path.suffix == ".keras":
            config, weights = _unpack(path, name)
        else:
            hdf5.check(path)
            config, weights = _config_in(path, name), path
    except SparkdlError:
        raise
    except (ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise SparkdlError(f"{name} is refused: {first_line(error)}") from error
    model = _load(config, weights, name)
    return _export(model, name), scales_itself(config)


def _unpack(path: Path, name: str) -> tuple[dict[str, Any], Path]:
    with zipfile.ZipFile(path) as archive:
        if _CONFIG not in archive.namelist():
            raise ValueError(f"the archive has no {_CONFIG}")
        with archive.open(_CONFIG) as file:
            config = parse_config(file.read(MAX_BYTES + 1), name)
    return config, hdf5.weights_only(path, path.parent)


def _config_in(path: Path, name: str) -> dict[str, Any]:
    import h5py

    with h5py.File(path, "r") as file:
        if "model_config" not in file.attrs:
            raise RequestError(f"{name}: it holds weights without a model: save the whole model")
        value = file.attrs["model_config"]
    if not isinstance(value, str | bytes):
        raise ValueError("its model_config is no text")
    return parse_config(value, name)


def _load(config: dict[str, Any], weights: Path, name: str) -> Any:
    import keras

    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    try:
        if weights.suffix == ".h5" and weights.name.endswith(".weights.h5"):
            model = keras.saving.deserialize_keras_object(config, safe_mode=True)
            model.load_weights(weights)
        else:
            model = keras.models.load_model(weights, compile=False, safe_mode=True)
    except Exception as error:
        raise SparkdlError(f"{name}: Keras cannot load it: {first_line(error)}") from error
    return model


def _export(model: Any, name: str) -> bytes:
    import tensorflow as tf
    import tf2onnx

    from sparkdl.networks.keras_files.child import OPSET, prompt_garbage_collection

    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise RequestError(
            f"{name}: expected a model of one input and one output, received {len(model.inputs)} and "
            f"{len(model.outputs)}"
        )
    shape = model.inputs[0].shape
    if len(shape) != 4 or shape[3] not in (1, 3):
        raise RequestError(f"{name}: expected an input of images [N, height, width, 1 or 3], received {list(shape)}")
    _fix_statistics(model)
    signature = [tf.TensorSpec((None, *shape[1:]), tf.float32, name="pixels")]
    forward = tf.function(lambda pixels: model(pixels, training=False), input_signature=signature)
    try:
        with prompt_garbage_collection():
            exported, _ = tf2onnx.convert.from_function(forward, signature, opset=OPSET)
    except Exception as error:
        raise SparkdlError(f"{name} cannot be converted to ONNX: {first_line(error)}") from error
    unknown = sorted({node.op_type for node in exported.graph.node if not _is_known(node)})
    if unknown:
        raise SparkdlError(f"{name} cannot be converted to ONNX: it has no equivalent of {', '.join(unknown)[:200]}")
    for described in (exported, exported.graph, *exported.graph.node):
        described.ClearField("doc_string")
    return bytes(exported.SerializeToString(deterministic=True))


def _is_known(node: Any) -> bool:
    from onnx import defs

    return bool(defs.has(node.op_type, node.domain))


def _fix_statistics(model: Any) -> None:
    """Let normalization layers hold arrays: tensors would become inputs of the exported graph."""
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.Model):
            _fix_statistics(layer)
        elif isinstance(layer, keras.layers.Normalization):
            for name in ("mean", "variance"):
                setattr(layer, name, keras.ops.convert_to_numpy(getattr(layer, name)))


def _main() -> None:
    directory, name = Path(sys.argv[1]), sys.argv[2]
    (path,) = (file for file in directory.iterdir() if file.stem == "model")
    answer: dict[str, Any]
    try:
        content, scales = convert(path, name)
    except SparkdlError as error:
        answer = {"error": str(error), "is_request": isinstance(error, RequestError)}
    else:
        (directory / "model.onnx").write_bytes(content)
        answer = {"scales_itself": scales}
    (directory / "answer.json").write_text(json.dumps(answer), "utf-8")


if __name__ == "__main__":
    _main()
