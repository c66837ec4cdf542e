"""Allowlist of what the configuration of a Keras model may name: layers that compute, and no functions of Python."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sparkdl.errors import SparkdlError

MAX_BYTES = 64 << 20
"""The largest configuration; that of EfficientNetV2L has 1 MB."""
_MAX_VALUES = 2_000_000
_MAX_SIZE = 1 << 24  # of a layer's sizes; VGG16's largest is 4,096
_NO_SIZES = ("seed", "shared_object_id")

_LAYERS = """
    Activation Add Average AveragePooling2D BatchNormalization CenterCrop Concatenate Conv2D Conv2DTranspose Cropping2D
    Dense DepthwiseConv2D Dropout ELU Flatten Functional GaussianDropout GaussianNoise GlobalAveragePooling2D
    GlobalMaxPooling2D GroupNormalization Identity InputLayer LayerNormalization LayerScale LeakyReLU MaxPooling2D
    Maximum Minimum Model MultiHeadAttention Multiply Normalization PReLU Permute ReLU RMSNormalization RandomBrightness
    RandomContrast RandomCrop RandomFlip RandomRotation RandomTranslation RandomZoom RepeatVector Rescaling Reshape
    Resizing SeparableConv2D Sequential Softmax SpatialDropout2D StochasticDepth Subtract ThresholdedReLU
    UnitNormalization UpSampling2D ZeroPadding2D
"""
_OPERATIONS = """
    Clip Divide Gelu HardSigmoid HardSilu HardSwish Mean Negative Power Relu Relu6 Sigmoid Silu Sqrt Square Swish Tanh
    Transpose TrueDivide
"""
_PARTS = """
    Constant DTypePolicy GlorotNormal GlorotUniform HeNormal HeUniform L1 L1L2 L2 LecunNormal LecunUniform MaxNorm
    MinMaxNorm NonNeg Ones Orthogonal OrthogonalRegularizer Policy RandomNormal RandomUniform SeedGenerator
    TruncatedNormal UnitNorm VarianceScaling Zeros __keras_tensor__
"""
CLASSES = frozenset(f"{_LAYERS} {_OPERATIONS} {_PARTS}".split())
"""The classes that a configuration may name."""
MODULES = frozenset(
    {
        None,
        "keras",
        "keras.constraints",
        "keras.dtype_policies",
        "keras.initializers",
        "keras.layers",
        "keras.models",
        "keras.random",
        "keras.regularizers",
        "keras.src.applications.convnext",
        "keras.src.models.functional",
        "keras.src.models.model",
        "keras.src.models.sequential",
        "keras.src.ops.nn",
        "keras.src.ops.numpy",
    }
)
"""The modules that they may come from."""
_SCALERS = ("Rescaling", "Normalization")


def parse_config(content: bytes | str, name: str) -> dict[str, Any]:
    """Return the configuration of a model, checked, without what it was compiled with.

    Raises
    ------
    SparkdlError
        If it is no JSON, too large, or names a class that is not in `CLASSES`, such as Lambda, whose function is code,
        or a function or class of another module; the message begins with `name`.
    """
    if len(content) > MAX_BYTES:
        raise SparkdlError(f"{name}: expected a configuration of at most {MAX_BYTES} bytes, received {len(content)}")
    try:
        config = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise SparkdlError(f"{name}: its configuration is no JSON: {str(error)[:200]}") from error
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict):
        raise SparkdlError(f"{name}: it holds weights without a model: save the whole model")
    config.pop("compile_config", None)
    _check(config, name)
    return config


def scales_itself(config: Mapping[str, Any]) -> bool:
    """Return whether a model has a layer that scales pixels, so that it takes them as they are, 0 to 255."""
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


def _check(config: Mapping[str, Any], name: str) -> None:
    waiting: list[tuple[str, Any]] = [("", config)]
    seen = 0
    while waiting:
        key, value = waiting.pop()
        seen += 1
        if seen > _MAX_VALUES:
            raise SparkdlError(f"{name}: its configuration has more than {_MAX_VALUES} values")
        if isinstance(value, Mapping):
            _check_class(value, name)
            waiting.extend(value.items())
        elif isinstance(value, list):
            waiting.extend((key, entry) for entry in value)
        elif isinstance(value, int) and abs(value) > _MAX_SIZE and key not in _NO_SIZES:
            raise SparkdlError(f"{name}: expected sizes of layers up to {_MAX_SIZE}, received {key} {value}")


def _check_class(value: Mapping[str, Any], name: str) -> None:
    for key in value:
        if key.startswith("__") and key != "__keras_tensor__":
            raise SparkdlError(f"{name}: its configuration holds {key[:60]!r}, which is refused")
    if "class_name" not in value and "module" not in value and "registered_name" not in value:
        return
    kind, module, registered = value.get("class_name"), value.get("module"), value.get("registered_name")
    if kind not in CLASSES:
        why = "whose function is code" if kind == "Lambda" else "which is not one of those that only compute"
        raise SparkdlError(f"{name}: its layer or part {str(kind)[:60]!r} is refused, {why}")
    if module not in MODULES:
        raise SparkdlError(f"{name}: its {kind} comes from the module {str(module)[:60]!r}, expected one of Keras")
    if registered not in (None, kind):
        raise SparkdlError(f"{name}: its {kind} is registered as {str(registered)[:60]!r}, expected Keras's own")
