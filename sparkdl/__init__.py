"""Images and pre-trained networks in Spark ML pipelines, on batch and on streaming DataFrames."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparkdl import imageIO
    from sparkdl.decoding.reader import read_images
    from sparkdl.decoding.single import decode
    from sparkdl.images.rejection import Limits, Rejected
    from sparkdl.sql_functions import register_image_function, registerKerasImageUDF
    from sparkdl.transformers.featurizer import DeepImageFeaturizer
    from sparkdl.transformers.imported_classifier import ImportedClassifier
    from sparkdl.transformers.ink_normalizer import InkNormalizer
    from sparkdl.transformers.keras_estimator import KerasImageFileEstimator
    from sparkdl.transformers.keras_image_file import KerasImageFileTransformer
    from sparkdl.transformers.keras_tensor import KerasTransformer
    from sparkdl.transformers.onnx_image import OnnxImageTransformer
    from sparkdl.transformers.onnx_tensor import OnnxTransformer
    from sparkdl.transformers.predictor import DeepImagePredictor
    from sparkdl.transformers.temperature_scaling import TemperatureScaling

__all__ = [
    "DeepImageFeaturizer",
    "DeepImagePredictor",
    "ImportedClassifier",
    "InkNormalizer",
    "KerasImageFileEstimator",
    "KerasImageFileTransformer",
    "KerasTransformer",
    "Limits",
    "OnnxImageTransformer",
    "OnnxTransformer",
    "Rejected",
    "TemperatureScaling",
    "__version__",
    "decode",
    "imageIO",
    "read_images",
    "registerKerasImageUDF",
    "register_image_function",
]

__version__ = "0.1.0"

_MODULES = {
    "DeepImageFeaturizer": "sparkdl.transformers.featurizer",
    "DeepImagePredictor": "sparkdl.transformers.predictor",
    "ImportedClassifier": "sparkdl.transformers.imported_classifier",
    "InkNormalizer": "sparkdl.transformers.ink_normalizer",
    "KerasImageFileEstimator": "sparkdl.transformers.keras_estimator",
    "KerasImageFileTransformer": "sparkdl.transformers.keras_image_file",
    "KerasTransformer": "sparkdl.transformers.keras_tensor",
    "Limits": "sparkdl.images.rejection",
    "OnnxImageTransformer": "sparkdl.transformers.onnx_image",
    "OnnxTransformer": "sparkdl.transformers.onnx_tensor",
    "Rejected": "sparkdl.images.rejection",
    "TemperatureScaling": "sparkdl.transformers.temperature_scaling",
    "decode": "sparkdl.decoding.single",
    "read_images": "sparkdl.decoding.reader",
    "registerKerasImageUDF": "sparkdl.sql_functions",
    "register_image_function": "sparkdl.sql_functions",
}


_REPLACED = {
    "TFImageTransformer": "OnnxImageTransformer applies an ONNX network to images",
    "TFTransformer": "OnnxTransformer applies an ONNX network to columns",
    "TFInputGraph": "OnnxTransformer takes an ONNX file",
    "imageInputPlaceholder": "OnnxImageTransformer takes an ONNX file",
    "HorovodRunner": "KerasImageFileEstimator trains a Keras model",
}
"""What sparkdl 1.5 had and this package has not, with what to use."""


def __getattr__(name: str) -> Any:
    # Imported at first use, so that a Spark worker that only decodes images does not load the ML stages.
    if name == "imageIO":
        return importlib.import_module("sparkdl.imageIO")
    if name in _REPLACED:
        raise ImportError(f"sparkdl.{name} of version 1.5 is gone: {_REPLACED[name]}")
    if name not in _MODULES:
        raise AttributeError(f"module 'sparkdl' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
