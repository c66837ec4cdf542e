"""The process that loads a Keras model, trains it if asked to, and converts it to ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx

from sparkdl.errors import RequestError
from sparkdl.networks.keras_files.child import OPSET, answer_parent, in_one_line, prompt_garbage_collection, tidy
from sparkdl.networks.keras_files.conversion import INPUT, OUTPUT


def answer(request: dict[str, Any]) -> bytes:
    """Return the ONNX file of the model in `request`."""
    import keras

    name = request["name"]
    try:
        model = keras.models.load_model(request["file"], compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, OSError, AttributeError) as error:
        raise RequestError(f"{name} cannot be read as a Keras model: {in_one_line(error)}") from error
    if len(_tensors(model, "inputs", name)) != 1 or len(_tensors(model, "outputs", name)) != 1:
        raise RequestError(
            f"{name}: expected one input and one output, received {len(model.inputs)} and {len(model.outputs)}"
        )
    if (training := request.get("training")) is not None:
        _train(model, name, training)
    return _convert(model, name)


def _tensors(model: Any, what: str, name: str) -> list[Any]:
    try:
        return list(getattr(model, what))
    except (AttributeError, ValueError) as error:
        raise RequestError(f"{name}: the model was never built, so its shapes are not known") from error


def _train(model: Any, name: str, training: dict[str, Any]) -> None:
    import keras

    keras.utils.set_random_seed(training["seed"])
    arrays = Path(training["arrays"])
    features, labels = np.load(arrays / "features.npy"), arrays / "labels.npy"
    fit = dict(training["fit"])
    if "class_weight" in fit:  # JSON has made texts of its keys
        fit["class_weight"] = {int(index): weight for index, weight in fit["class_weight"].items()}
    try:
        model.compile(optimizer=training["optimizer"], loss=training["loss"])
        model.fit(x=features, y=np.load(labels) if labels.is_file() else None, **{"verbose": 0, **fit})
    except (ValueError, TypeError) as error:
        raise RequestError(f"{name} cannot be trained: {in_one_line(error)}") from error


def _convert(model: Any, name: str) -> bytes:
    import tensorflow as tf
    import tf2onnx

    _fix_statistics(model)
    given = model.inputs[0]
    signature = [tf.TensorSpec((None, *given.shape[1:]), given.dtype, name=INPUT)]
    forward = tf.function(lambda value: {OUTPUT: model(value, training=False)}, input_signature=signature)
    try:
        with prompt_garbage_collection():
            converted, _ = tf2onnx.convert.from_function(forward, signature, opset=OPSET)
        missing = ", ".join(sorted({node.op_type for node in converted.graph.node if not _is_known(node)}))
        if missing:
            raise RequestError(f"{name} cannot be converted to ONNX: it has no equivalent of {missing[:200]}")
        content: bytes = tidy(converted, "keras", [OUTPUT]).SerializeToString(deterministic=True)
    except (ValueError, NotImplementedError, RuntimeError, onnx.checker.ValidationError) as error:
        raise RequestError(f"{name} cannot be converted to ONNX: {in_one_line(error)}") from error
    return content


def _is_known(node: onnx.NodeProto) -> bool:
    return node.op_type == "Erfc" or onnx.defs.has(node.op_type, node.domain)  # `tidy` replaces Erfc


def _fix_statistics(model: Any) -> None:
    """Let normalization layers hold arrays: tensors would become inputs of the exported graph."""
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.Model):
            _fix_statistics(layer)
        elif isinstance(layer, keras.layers.Normalization):
            for name in ("mean", "variance"):
                setattr(layer, name, keras.ops.convert_to_numpy(getattr(layer, name)))


if __name__ == "__main__":
    answer_parent(answer)
