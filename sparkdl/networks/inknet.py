"""InkNet as an ONNX graph: a small residual network for single characters at 32 px; its weights must be trained.

It has three steps of stride 2 with residual blocks of two 3 x 3 convolutions between them, then one fully connected
layer. With the widths of `training.fitting.inknet.keras_process` it has 0.8 million weights and needs 28 million
multiplications per image, a third of EfficientNet-Lite0 at 96 px. Batch normalisation is folded into the convolutions
before the weights are saved.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from sparkdl.errors import SparkdlError, unknown
from sparkdl.networks.graph_builder import GraphBuilder, float_tensor

SIDE = 32
"""Side of the input in pixels; the network accepts no other size."""

STRIDES: Mapping[str, int] = {
    "stem": 1,
    "down1": 2,
    "block1": 1,
    "down2": 2,
    "block2": 1,
    "block3": 1,
    "down3": 2,
    "block4": 1,
}
"""The layers before the last one, in order, with the stride of their first convolution. A `block` is residual."""

TAPS: tuple[str, ...] = ("embedding",)
"""The layers that can be tapped: the fully connected one, after its ReLU."""


def layer_shapes(widths: Sequence[int], embedding: int) -> dict[str, tuple[int, int, int, int]]:
    """Return the shapes of the kernels, [out, in, height, width], by the name of the convolution.

    Parameters
    ----------
    widths
        Channels before the first step of stride 2, and after each of the three.
    embedding
        Width of the fully connected layer.
    """
    shapes: dict[str, tuple[int, int, int, int]] = {}
    stage, channels = 0, 1
    for name, stride in STRIDES.items():
        stage += stride == 2
        width = widths[stage]
        shapes[f"{name}.0" if is_block(name) else name] = (width, channels, 3, 3)
        if is_block(name):
            shapes[f"{name}.1"] = (width, width, 3, 3)
        channels = width
    side = SIDE // 8
    return {**shapes, "embedding": (embedding, channels, side, side)}


def is_block(layer: str) -> bool:
    """Return whether a layer of `STRIDES` is a residual block."""
    return layer.startswith("block")


def read_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return the arrays of a file of weights: `LAYER.kernel` and `LAYER.bias` for each convolution.

    Raises
    ------
    SparkdlError
        If the file is not a file of weights, or an array is missing, has another shape, or is not finite.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        widths = [arrays[f"{name}.kernel"].shape[0] for name in ("stem", "down1", "down2", "down3")]
        shapes = layer_shapes(widths, arrays["embedding.kernel"].shape[0])
    except (OSError, ValueError, KeyError, IndexError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise SparkdlError(f"{path}: no weights of InkNet: {error}") from error
    for name, shape in shapes.items():
        for part, expected in (("kernel", shape), ("bias", shape[:1])):
            array = arrays.get(f"{name}.{part}")
            if array is None or array.shape != expected or array.dtype != np.float32 or not np.isfinite(array).all():
                received = "none" if array is None else f"{array.dtype} {list(array.shape)}"
                raise SparkdlError(
                    f"{path}: expected {name}.{part}, float32 {list(expected)}, finite; received {received}"
                )
    return arrays


def build(weights: Path, taps: Sequence[str]) -> onnx.ModelProto:
    """Return the graph from pixels to the embedding.

    Returns
    -------
    onnx.ModelProto
        Input `pixels`: float32 [N, 32, 32, 1], 0 to 1. Output `embedding`: float32 [N, 1, 1, width], 0 or more.
    """
    for tap in taps:
        if tap not in TAPS:
            raise unknown("tap layer", tap, TAPS)
    arrays = read_weights(weights)
    graph = GraphBuilder(named=True)
    node = graph.node

    def convolve(x: str, name: str, stride: int = 1) -> str:
        padding = "VALID" if name == "embedding" else "SAME_UPPER"  # TensorFlow's SAME
        kernel, bias = f"{name}.kernel", f"{name}.bias"
        return node("Conv", [x, kernel, bias], f"{name}.linear", auto_pad=padding, strides=[stride, stride])

    x = node("Transpose", ["pixels"], "pixels.nchw", perm=[0, 3, 1, 2])
    for name, stride in STRIDES.items():
        if is_block(name):
            y = node("Relu", [convolve(x, f"{name}.0", stride)], f"{name}.0.relu")
            x = node("Relu", [node("Add", [x, convolve(y, f"{name}.1")], f"{name}.sum")], f"{name}.relu")
        else:
            x = node("Relu", [convolve(x, name, stride)], f"{name}.relu")
    x = node("Relu", [convolve(x, "embedding")], "embedding.relu")
    node("Transpose", [x], TAPS[0], perm=[0, 2, 3, 1])
    width = arrays["embedding.kernel"].shape[0]
    for name, array in arrays.items():
        graph.constant(name, array)
    pixels = float_tensor("pixels", ["N", SIDE, SIDE, 1])
    return graph.model("InkNet", [pixels], [float_tensor(TAPS[0], ["N", 1, 1, width])])
