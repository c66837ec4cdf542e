"""EfficientNet-Lite0 as an ONNX graph, built from its published weights.

The network is that of the TensorFlow TPU project (Apache-2.0): MobileNetV2-like inverted residual blocks with
ReLU6 and without squeeze-and-excitation. Batch normalisation is folded into the convolutions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from sparkdl.errors import unknown
from sparkdl.networks.graph_builder import GraphBuilder, float_tensor
from sparkdl.networks.torch_checkpoint import read_tensors

_EPSILON = 1e-3  # of the batch normalisation in training


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


class _Layers(GraphBuilder):
    """Adds the layers of the network; every method returns the name of its output tensor."""

    def __init__(self, tensors: dict[str, NDArray[Any]]) -> None:
        super().__init__(named=True)
        self.tensors = tensors
        self.constant("zero", np.full(1, 0, np.float32))
        self.constant("six", np.full(1, 6, np.float32))

    def convolve(self, x: str, conv: str, norm: str, *, stride: int = 1, depthwise: bool = False) -> str:
        """Add convolution `conv` followed by batch normalisation `norm`, as one convolution with a bias."""
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
    """Return the graph from preprocessed pixels to the layers `taps`, without later layers.

    Parameters
    ----------
    weights
        The package's `.pth` file.
    taps
        Names in `TAPS`.

    Returns
    -------
    onnx.ModelProto
        Input `pixels`: float32 [N, H, W, 3], RGB, (x - 127) / 128. One output per tap, named like the tap: float32
        [N, h, w, c].
    """
    for tap in taps:
        if tap not in TAPS:
            raise unknown("tap layer", tap, TAPS)
    graph, layers = _layers(weights)
    outputs = []
    for tap in taps:
        graph.node("Transpose", [layers[tap]], tap, perm=[0, 2, 3, 1])
        outputs.append(float_tensor(tap, ["N", None, None, None]))
    graph.keep(taps)
    return graph.model("EfficientNetLite0", [float_tensor("pixels", ["N", None, None, 3])], outputs)


def build_classifier(weights: Path) -> onnx.ModelProto:
    """Return the graph from preprocessed pixels, as for `build`, to `probabilities`: float32 [N, 1000]."""
    graph, layers = _layers(weights)
    pooled = graph.node("Flatten", [graph.node("GlobalAveragePool", [layers["head"]], "pooled")], "flat")
    coefficients, intercepts = read_classifier(graph.tensors)
    logits = graph.node(
        "Gemm", [pooled, graph.constant("_fc.weight", coefficients), graph.constant("_fc.bias", intercepts)], "logits"
    )
    graph.node("Softmax", [logits], "probabilities", axis=1)
    graph.keep(["probabilities"])
    pixels, outputs = float_tensor("pixels", ["N", None, None, 3]), float_tensor("probabilities", ["N", 1000])
    return graph.model("EfficientNetLite0", [pixels], [outputs])


def read_classifier(tensors: Mapping[str, NDArray[Any]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the coefficients, float32 [1280, 1000], and intercepts, [1000], of the classifier on the pooled `head`."""
    coefficients = np.ascontiguousarray(tensors["_fc.weight"].T, np.float32)
    return coefficients, np.asarray(tensors["_fc.bias"], np.float32)


def _layers(weights: Path) -> tuple[_Layers, dict[str, str]]:
    """Return the graph of all layers but the classifier, and the tensor of each name in `TAPS`."""
    graph = _Layers(read_tensors(weights))
    x = graph.node("Transpose", ["pixels"], "pixels.nchw", perm=[0, 3, 1, 2])
    x = graph.relu6(graph.convolve(x, "_conv_stem", "_bn0", stride=2))
    layers = {"stem": x}
    for stage in _STAGES:
        for repeat in range(stage.repeats):
            index = len(layers) - 1
            x = layers[f"block{index}"] = graph.block(x, index, stage, first=repeat == 0)
    layers["head"] = graph.relu6(graph.convolve(x, "_conv_head", "_bn1"))
    return graph, layers
