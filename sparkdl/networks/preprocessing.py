"""Preprocessing as part of a network's graph: from the bytes of an image to pixels, in as few passes as possible.

A pass over the pixels can cost as much as a layer of a small network, especially if it processes three numbers at a
time. Therefore, if the graph begins with a convolution, its kernels are reordered for the order of the channels, and
mean and scale are applied in one pass where possible.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sparkdl.networks.backbones import Backbone
from sparkdl.networks.graph_builder import GraphBuilder

if TYPE_CHECKING:
    import onnx

_ORDERS = {"RGB": [2, 1, 0], "BGR": [0, 1, 2], "GRAY": [1]}
"""The channels of an image, BGR, in the order that a network expects."""
_NCHW = [0, 3, 1, 2]


def preprocess(builder: GraphBuilder, graph: onnx.GraphProto, network: Backbone, *, grayscale: bool) -> None:
    """Add the nodes from `image` to `pixels`, the input of `graph`; this may change the kernels of `graph`.

    Parameters
    ----------
    builder
        The builder that receives the nodes and constants.
    graph
        A graph with the input `pixels`, float32 [N, H, W, C], preprocessed as `network` expects.
    grayscale
        Whether `image` is uint8 [N, H, W, 1]; otherwise it is uint8 [N, H, W, 3], BGR.
    """
    from onnx import TensorProto

    add, constant = builder.node, builder.constant
    order, uniform = _ORDERS[network.channels], len(set(network.mean)) == 1
    mean = network.mean[0] if uniform else network.mean
    kernels = _first_kernels(graph) if len(order) == 3 and uniform else []
    for kernel in kernels:
        kernel.CopyFrom(_rearranged(kernel, order, grayscale=grayscale))
    x = "image"
    if not kernels and grayscale and len(order) == 3:
        x = add("Concat", [x] * 3, "sparkdl.three", axis=3)
    elif not kernels and not grayscale and order != [0, 1, 2]:
        x = add("Gather", [x, constant("channels", np.array(order, np.int64))], "sparkdl.channels", axis=3)
    scale = constant("scale", np.array(network.scale, np.float32))
    if uniform and network.mean[0].is_integer():
        add("DequantizeLinear", [x, scale, constant("mean", np.array(mean, np.uint8))], "pixels")  # (x - mean) * scale
    else:
        x = add("Cast", [x], "sparkdl.float", to=TensorProto.FLOAT)
        x = add("Sub", [x, constant("mean", np.array(mean, np.float32))], "sparkdl.centred")
        add("Mul", [x, scale], "pixels")


def _first_kernels(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    """Return the kernels of the convolutions that read `pixels`; none if other nodes read them too."""
    from onnx import helper

    def readers(name: str) -> list[onnx.NodeProto]:
        return [node for node in graph.node if name in node.input]

    initializers = {tensor.name: tensor for tensor in graph.initializer}
    found: list[onnx.TensorProto] = []
    for transpose in readers("pixels"):
        perm = [list(helper.get_attribute_value(a)) for a in transpose.attribute if a.name == "perm"]
        if transpose.op_type != "Transpose" or perm != [_NCHW]:
            return []
        for conv in readers(transpose.output[0]):
            group = [helper.get_attribute_value(a) for a in conv.attribute if a.name == "group"]
            kernel = initializers.get(conv.input[1]) if conv.op_type == "Conv" else None
            if kernel is None or group not in ([], [1]) or len(readers(kernel.name)) != 1:
                return []
            found.append(kernel)
    return found


def _rearranged(kernel: onnx.TensorProto, order: Sequence[int], *, grayscale: bool) -> onnx.TensorProto:
    """Return `kernel`, [O, 3, h, w] with channels in `order`, for the channels of an image.

    In a gray image all three channels are equal, so the sum of the three kernels is enough.
    """
    from onnx import numpy_helper

    weights = numpy_helper.to_array(kernel)
    weights = weights.sum(axis=1, keepdims=True) if grayscale else weights[:, np.argsort(order)]
    return numpy_helper.from_array(np.ascontiguousarray(weights), kernel.name)
