"""Small networks as other programs write them: ONNX classifiers of known weights, and folders of Hugging Face's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LABELS = ("ant", "bee", "cat", "dog", "elk")


def classifier(
    *,
    size: int = 32,
    classes: int = len(LABELS),
    layout: str = "NCHW",
    last: str = "",
    batch: int | str = "N",
    channels: int = 3,
    opset: int = 17,
    kind: int = TensorProto.FLOAT,
    gain: float = 1.0,
) -> onnx.ModelProto:
    """Return a classifier of one convolution: mean of its channels, a matrix, and the operator `last`."""
    random = np.random.default_rng(22)
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    kernel = random.normal(size=(16, channels, 3, 3)) / 3
    matrix = gain * random.normal(size=(16, classes))
    nodes, x = [], "pixel_values"
    if layout == "NHWC":
        nodes.append(helper.make_node("Transpose", [x], ["first"], perm=[0, 3, 1, 2]))
        x = "first"
    nodes += [
        helper.make_node("Conv", [x, "kernel"], ["maps"], strides=[2, 2]),
        helper.make_node("Relu", ["maps"], ["positive"]),
        helper.make_node("GlobalAveragePool", ["positive"], ["means"]),
        helper.make_node("Flatten", ["means"], ["vector"]),
        helper.make_node("MatMul", ["vector", "matrix"], ["logits"]),
    ]
    if last:
        nodes.append(helper.make_node(last, ["logits"], ["output"]))
    shape = [batch, channels, size, size] if layout == "NCHW" else [batch, size, size, channels]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("pixel_values", kind, shape)],
        [helper.make_tensor_value_info("output" if last else "logits", kind, [batch, classes])],
        [
            numpy_helper.from_array(kernel.astype(dtype), "kernel"),
            numpy_helper.from_array(matrix.astype(dtype), "matrix"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def passing(height: int, width: int) -> onnx.ModelProto:
    """Return a network whose output is its input, [N, 3, height, width], in one row."""
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["pixel_values"], ["logits"])],
        "passing",
        [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["N", 3, height, width])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 3 * height * width])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def backbone(size: int = 32) -> onnx.ModelProto:
    """Return a network without a head: 16 channels on a grid."""
    model = classifier(size=size)
    del model.graph.node[2:]
    del model.graph.initializer[1:]
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("positive", TensorProto.FLOAT, None))
    return model


def write_labels(path: Path, labels: Sequence[str] = LABELS) -> Path:
    """Write names of classes, one a line."""
    path.write_text("\n".join(labels) + "\n", encoding="utf-8")
    return path


VIT: Mapping[str, Any] = {
    "image_processor_type": "ViTImageProcessor",
    "size": {"height": 32, "width": 32},
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


def write_folder(
    folder: Path,
    model: onnx.ModelProto | None,
    config: Mapping[str, Any] | None = None,
    processor: Mapping[str, Any] | None = VIT,
    *,
    name: str = "model.onnx",
) -> Path:
    """Write a folder in Hugging Face's layout."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = {str(index): label for index, label in enumerate(LABELS)}
    stated = {"architectures": ["ViTForImageClassification"], "id2label": labels, **(config or {})}
    (folder / "config.json").write_text(json.dumps(stated))
    if processor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    if model is not None:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        onnx.save(model, path)
    return folder
