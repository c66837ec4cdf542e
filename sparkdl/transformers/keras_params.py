"""Params of the stages that apply a Keras model."""

from __future__ import annotations

import os
from typing import Any

from pyspark.ml.param import Param, Params, TypeConverters

from sparkdl.networks.keras_files.conversion import convert_keras
from sparkdl.transformers.image_columns import check_output_mode
from sparkdl.transformers.network_stage import NetworkStage


def to_path(value: Any) -> str:
    """Return a path as a string."""
    return TypeConverters.toString(os.fspath(value) if isinstance(value, os.PathLike) else value)


class HasModelFile(Params):
    """The Param `modelFile`."""

    modelFile: Param[str] = Param(Params._dummy(), "modelFile", "a Keras model, .keras or .h5", to_path)

    def setModelFile(self, value: str | os.PathLike[str]) -> Any:
        return self._set(modelFile=value)

    def getModelFile(self) -> str:
        return self.getOrDefault(self.modelFile)


class HasOutputMode(Params):
    """The Param `outputMode`."""

    outputMode: Param[str] = Param(Params._dummy(), "outputMode", "vector or image", check_output_mode)

    def setOutputMode(self, value: str) -> Any:
        return self._set(outputMode=value)

    def getOutputMode(self) -> str:
        return self.getOrDefault(self.outputMode)


class KerasStage(NetworkStage, HasModelFile):
    """A stage whose network is a Keras model."""

    def network_identity(self) -> tuple[Any, ...]:
        return (self.getModelFile() if self.isDefined(self.modelFile) else None,)

    def build_network(self) -> bytes:
        return convert_keras(self.value_of("modelFile"))
