"""Promises of `sparkdl.networks.preprocessing`: whatever its first layer is, a network sees the pixels that it
expects.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from images import noise
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from sparkdl.networks.backbones import BACKBONES, Backbone
from sparkdl.networks.graph_builder import GraphBuilder
from sparkdl.networks.preprocessing import preprocess

COLOURS = {"RGB": [2, 1, 0], "BGR": [0, 1, 2], "GRAY": [1]}
"""The channels of a BGR image that a network takes."""


def body(kind: str, channels: int) -> onnx.ModelProto:
    """From `pixels` to `out`: a convolution in Keras's layout, two of them on one input, or no convolution at all."""
    kernel = np.random.default_rng(1).normal(size=(4, channels, 3, 3)).astype(np.float32)
    weights = [numpy_helper.from_array(kernel * (1 + n), f"kernel{n}") for n in range(2)]
    transpose = helper.make_node("Transpose", ["pixels"], ["nchw"], perm=[0, 3, 1, 2])
    convs = [
        helper.make_node("Conv", ["nchw", f"kernel{n}"], [f"conv{n}"], auto_pad="SAME_UPPER", strides=[2, 2])
        for n in range(2)
    ]
    nodes = {
        "convolution": [transpose, convs[0], helper.make_node("Identity", ["conv0"], ["out"])],
        "two convolutions": [transpose, *convs, helper.make_node("Sub", ["conv0", "conv1"], ["out"])],
        "something else": [helper.make_node("Identity", ["pixels"], ["out"])],
        "both": [
            transpose,
            convs[0],
            helper.make_node("ReduceMean", ["pixels"], ["mean"]),
            helper.make_node("Add", ["conv0", "mean"], ["out"]),
        ],
    }[kind]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", 12, 15, channels])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", None, None, None])
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(nodes, "body", [pixels], [out], [w for w in weights if w.name in used])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def run(model: onnx.ModelProto, **inputs: NDArray[Any]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, inputs)[0])


def composed(model: onnx.ModelProto, network: Backbone, grayscale: bool) -> onnx.ModelProto:
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    builder = GraphBuilder(prefix="added.")
    preprocess(builder, whole.graph, network, grayscale=grayscale)
    whole.graph.initializer.extend(builder.constants)
    nodes = [*builder.nodes, *whole.graph.node]
    del whole.graph.node[:], whole.graph.input[:]
    whole.graph.node.extend(nodes)
    shape = ["N", 12, 15, 1 if grayscale else 3]
    whole.graph.input.append(helper.make_tensor_value_info("image", TensorProto.UINT8, shape))
    onnx.checker.check_model(whole)
    return whole


@pytest.mark.parametrize("grayscale", [False, True])
@pytest.mark.parametrize("kind", ["convolution", "two convolutions", "something else", "both"])
@pytest.mark.parametrize("network", BACKBONES.values(), ids=BACKBONES)
def test_pixels_are_what_the_network_expects(network: Backbone, kind: str, grayscale: bool) -> None:
    order = COLOURS[network.channels]
    image = noise(3, 2, 12, 15, 1 if grayscale else 3)
    channels = image.repeat(3, axis=3)[..., order] if grayscale else image[..., order]
    pixels = ((channels - np.array(network.mean)) * network.scale).astype(np.float32)
    model = body(kind, len(order))

    received = run(composed(model, network, grayscale), image=image)

    np.testing.assert_allclose(received, run(model, pixels=pixels), rtol=1e-4, atol=2e-4 * 255 * network.scale)


@pytest.mark.parametrize("grayscale", [False, True])
def test_of_a_network_that_begins_with_a_convolution_one_pass_is_left(grayscale: bool) -> None:
    model = composed(body("convolution", 3), BACKBONES["EfficientNetLite0"], grayscale)
    assert [node.op_type for node in model.graph.node] == ["DequantizeLinear", "Transpose", "Conv", "Identity"]
    (kernel,) = (tensor for tensor in model.graph.initializer if tensor.name == "kernel0")
    assert list(kernel.dims) == [4, 1 if grayscale else 3, 3, 3]
