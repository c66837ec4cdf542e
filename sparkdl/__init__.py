"""Images and pre-trained networks in Spark ML pipelines, on batch and on streaming DataFrames."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparkdl.decoding.reader import read_images
    from sparkdl.decoding.single import decode
    from sparkdl.images.rejection import Limits, Rejected
    from sparkdl.transformers.featurizer import DeepImageFeaturizer
    from sparkdl.transformers.imported_classifier import ImportedClassifier
    from sparkdl.transformers.ink_normalizer import InkNormalizer
    from sparkdl.transformers.temperature_scaling import TemperatureScaling

__all__ = [
    "DeepImageFeaturizer",
    "ImportedClassifier",
    "InkNormalizer",
    "Limits",
    "Rejected",
    "TemperatureScaling",
    "__version__",
    "decode",
    "read_images",
]

__version__ = "0.1.0"

_MODULES = {
    "DeepImageFeaturizer": "sparkdl.transformers.featurizer",
    "ImportedClassifier": "sparkdl.transformers.imported_classifier",
    "InkNormalizer": "sparkdl.transformers.ink_normalizer",
    "Limits": "sparkdl.images.rejection",
    "Rejected": "sparkdl.images.rejection",
    "TemperatureScaling": "sparkdl.transformers.temperature_scaling",
    "decode": "sparkdl.decoding.single",
    "read_images": "sparkdl.decoding.reader",
}


def __getattr__(name: str) -> Any:
    # Imported at first use, so that a Spark worker that only decodes images does not load the ML stages.
    if name not in _MODULES:
        raise AttributeError(f"module 'sparkdl' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
