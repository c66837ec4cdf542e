"""Images and pre-trained networks in Spark ML pipelines, on batch and on streaming DataFrames."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparkdl.transformers.featurizer import DeepImageFeaturizer
    from sparkdl.transformers.ink_normalizer import InkNormalizer
    from sparkdl.transformers.temperature_scaling import TemperatureScaling

__all__ = ["DeepImageFeaturizer", "InkNormalizer", "TemperatureScaling"]

_HOMES = {
    "DeepImageFeaturizer": "sparkdl.transformers.featurizer",
    "InkNormalizer": "sparkdl.transformers.ink_normalizer",
    "TemperatureScaling": "sparkdl.transformers.temperature_scaling",
}


def __getattr__(name: str) -> Any:
    # Imported at first use: a Spark worker that only decodes images does not pay for the ML stages.
    if name not in _HOMES:
        raise AttributeError(f"module 'sparkdl' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
