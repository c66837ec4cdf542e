"""EfficientNet-Lite0 as an ONNX graph, built straight from its published weights.

The network is the one of the TensorFlow TPU project (Apache-2.0): MobileNetV2-like inverted residual blocks with
ReLU6 and no squeeze-and-excitation. Batch normalisation is folded into the convolutions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from sparkdl.errors import unknown
from sparkdl.networks.torch_checkpoint import read_tensors

OPSET = 18
_EPSILON = 1e-3  # of the batch normalisation this network was trained with


@dataclass(frozen=True)
class _Stage:
    expand: int
    kernel: int
    stride: int
    channels: int
    repeats: int


_STAGES = (
    _Stage(expand=1, kernel=3, stride=1, channels=16, repeats=1),
    _Stage(expand=6, kernel=3, stride=2, channels=24, repeats=2),
    _Stage(expand=6, kernel=5, stride=2, channels=40, repeats=2),
    _Stage(expand=6, kernel=3, stride=2, channels=80, repeats=3),
    _Stage(expand=6, kernel=5, stride=1, channels=112, repeats=3),
    _Stage(expand=6, kernel=5, stride=2, channels=192, repeats=4),
    _Stage(expand=6, kernel=3, stride=1, channels=320, repeats=1),
)

TAPS: tuple[str, ...] = ("stem", *(f"block{i}" for i in range(sum(s.repeats for s in _STAGES))), "head")
"""The layers that can be tapped, first to last; `head` is the 1,280-channel convolution before pooling."""


class _Graph:
    """Collects nodes and weights; every method returns the name of the tensor it made."""

    def __init__(self, tensors: dict[str, NDArray[Any]]) -> None:
        self.tensors = tensors
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.constant("zero", np.float32(0))
        self.constant("six", np.float32(6))

    def constant(self, name: str, value: Any) -> str:
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def convolve(self, x: str, conv: str, norm: str, *, stride: int = 1, depthwise: bool = False) -> str:
        """Convolution `conv` followed by batch normalisation `norm`, as one convolution with a bias."""
        t = self.tensors
        gain = t[f"{norm}.weight"] / np.sqrt(t[f"{norm}.running_var"] + _EPSILON)
        kernel = (t[f"{conv}.weight"] * gain[:, None, None, None]).astype(np.float32)
        bias = (t[f"{norm}.bias"] - t[f"{norm}.running_mean"] * gain).astype(np.float32)
        return self.node(
            "Conv",
            [x, self.constant(f"{conv}.kernel", kernel), self.constant(f"{conv}.bias", bias)],
            conv,
            auto_pad="SAME_UPPER",  # TensorFlow's SAME
            kernel_shape=list(kernel.shape[2:]),
            strides=[stride, stride],
            group=kernel.shape[0] if depthwise else 1,
        )

    def relu6(self, x: str) -> str:
        return self.node("Clip", [x, "zero", "six"], f"{x}.relu6")

    def block(self, x: str, index: int, stage: _Stage, *, first: bool) -> str:
        name = f"_blocks.{index}"
        y = x
        if stage.expand != 1:
            y = self.relu6(self.convolve(y, f"{name}._expand_conv", f"{name}._bn0"))
        stride = stage.stride if first else 1
        y = self.relu6(self.convolve(y, f"{name}._depthwise_conv", f"{name}._bn1", stride=stride, depthwise=True))
        y = self.convolve(y, f"{name}._project_conv", f"{name}._bn2")
        return y if first else self.node("Add", [x, y], f"{name}.sum")


def build(weights: Path, taps: Sequence[str]) -> onnx.ModelProto:
    """The graph from preprocessed pixels to the layers `taps`, and nothing beyond the deepest of them.

    Parameters
    ----------
    weights
        The package's `.pth` file.
    taps
        Names out of `TAPS`.

    Returns
    -------
    onnx.ModelProto
        Input `pixels`: float32 [N, H, W, 3], RGB, (x - 127) / 128. An output a tap, named as the tap: float32
        [N, h, w, c].
    """
    for tap in taps:
        if tap not in TAPS:
            raise unknown("tap layer", tap, TAPS)
    graph = _Graph(read_tensors(weights))
    x = graph.node("Transpose", ["pixels"], "pixels.nchw", perm=[0, 3, 1, 2])
    x = graph.relu6(graph.convolve(x, "_conv_stem", "_bn0", stride=2))
    layers = {"stem": x}
    for stage in _STAGES:
        for repeat in range(stage.repeats):
            index = len(layers) - 1
            x = layers[f"block{index}"] = graph.block(x, index, stage, first=repeat == 0)
    layers["head"] = graph.relu6(graph.convolve(x, "_conv_head", "_bn1"))
    outputs = []
    for tap in taps:
        graph.node("Transpose", [layers[tap]], tap, perm=[0, 2, 3, 1])
        outputs.append(helper.make_tensor_value_info(tap, TensorProto.FLOAT, ["N", None, None, None]))
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", None, None, 3])
    nodes, used = _ancestors(graph.nodes, taps)
    kept = [weight for weight in graph.weights if weight.name in used]
    model = helper.make_model(
        helper.make_graph(nodes, "EfficientNetLite0", [pixels], outputs, kept),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=10,
        producer_name="sparkdl",
    )
    onnx.checker.check_model(model)
    return model


def _ancestors(nodes: list[onnx.NodeProto], outputs: Sequence[str]) -> tuple[list[onnx.NodeProto], set[str]]:
    """The nodes that `outputs` depend on, in their order, and the names of all the tensors these read."""
    needed, kept = set(outputs), []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    return kept[::-1], needed
