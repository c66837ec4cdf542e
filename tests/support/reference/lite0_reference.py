"""EfficientNet-Lite0 once more, from Keras layers alone: what the product's own graph is held against."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray
from torch_reference import Weights, read_checkpoint


class Stage(NamedTuple):
    expand: int
    kernel: int
    stride: int
    filters: int
    repeats: int


STAGES = (
    Stage(1, 3, 1, 16, 1),
    Stage(6, 3, 2, 24, 2),
    Stage(6, 5, 2, 40, 2),
    Stage(6, 3, 2, 80, 3),
    Stage(6, 5, 1, 112, 3),
    Stage(6, 5, 2, 192, 4),
    Stage(6, 3, 1, 320, 1),
)


def network(weights: Path, size: int) -> keras.Model:
    """The network from ``[N, size, size, 3]`` preprocessed pixels to a dict of every tap's activations."""
    pixels = keras.Input((size, size, 3))
    taps = {}
    x = taps["stem"] = _convolution(pixels, "stem", 32, 3, 2)
    for stage in STAGES:
        for repeat in range(stage.repeats):
            name = f"block{len(taps) - 1}"
            x = taps[name] = _block(x, name, stage._replace(stride=stage.stride if repeat == 0 else 1))
    taps["head"] = _convolution(x, "head", 1280, 1)
    model = keras.Model(pixels, taps)
    _assign(model, read_checkpoint(weights))
    return model


def classify(weights: Path, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """ImageNet logits of ``head`` activations: only to see that the whole network is the trained one."""
    checkpoint = read_checkpoint(weights)
    logits: NDArray[np.float32] = features.mean(axis=(1, 2)) @ checkpoint["_fc.weight"].T + checkpoint["_fc.bias"]
    return logits


def _normalize(x: Any, name: str, activate: bool = True) -> Any:
    x = keras.layers.BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(x)
    return keras.layers.ReLU(max_value=6.0, name=f"{name}_relu6")(x) if activate else x


def _convolution(x: Any, name: str, filters: int, kernel: int, stride: int = 1, activate: bool = True) -> Any:
    layer = keras.layers.Conv2D(filters, kernel, stride, padding="same", use_bias=False, name=f"{name}_conv")
    return _normalize(layer(x), name, activate)


def _block(x: Any, name: str, stage: Stage) -> Any:
    filters = x.shape[-1]
    y = _convolution(x, f"{name}_expand", filters * stage.expand, 1) if stage.expand > 1 else x
    depthwise = keras.layers.DepthwiseConv2D(
        stage.kernel, stage.stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv"
    )
    y = _normalize(depthwise(y), f"{name}_depthwise")
    y = _convolution(y, f"{name}_project", stage.filters, 1, activate=False)
    return keras.layers.Add(name=f"{name}_add")([x, y]) if stage.stride == 1 and filters == stage.filters else y


def _checkpoint_name(layer: str) -> str:
    """The checkpoint's name of a layer: ``block3_depthwise_bn`` is ``_blocks.3._bn1`` there."""
    *block, part, kind = layer.split("_")
    if not block:
        return {"stem_conv": "_conv_stem", "stem_bn": "_bn0", "head_conv": "_conv_head", "head_bn": "_bn1"}[layer]
    index = block[0].removeprefix("block")
    norm = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}[part]
    return f"_blocks.{index}.{norm if kind == 'bn' else f'_{part}_conv'}"


def _assign(model: keras.Model, checkpoint: Weights) -> None:
    """Give every layer its weights, and see that no weight of the checkpoint is left over but the classifier's."""
    # OIHW to HWIO, and for a depthwise kernel [channels, 1, H, W] to [H, W, channels, 1].
    axes = {keras.layers.Conv2D: (2, 3, 1, 0), keras.layers.DepthwiseConv2D: (2, 3, 0, 1)}
    left = set(checkpoint)
    for layer in model.layers:
        if not layer.weights:
            continue
        name = _checkpoint_name(layer.name)
        if isinstance(layer, keras.layers.BatchNormalization):
            names = [f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
            layer.set_weights([checkpoint[part] for part in names])
        else:
            names = [f"{name}.weight"]
            layer.set_weights([checkpoint[names[0]].transpose(axes[type(layer)])])
        left.difference_update(names)
    unread = {name for name in left if not name.startswith("_fc.") and not name.endswith(".num_batches_tracked")}
    assert not unread, f"the checkpoint has weights that the reference does not use: {sorted(unread)}"
