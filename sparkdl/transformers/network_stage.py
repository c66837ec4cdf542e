"""NetworkStage: what stages have in common whose network is an ONNX file, saved beside their metadata."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from typing import Any, TypeVar

from pyspark import SparkContext
from pyspark.ml import Transformer
from pyspark.ml.util import MLReadable, MLReader, MLWritable, MLWriter

from sparkdl.errors import RequestError
from sparkdl.networks.runtime import OnnxFile
from sparkdl.transformers.persistence import NetworkReader, NetworkWriter, StoredNetwork

S = TypeVar("S", bound="NetworkStage")


class NetworkStage(Transformer, StoredNetwork, MLReadable["NetworkStage"], MLWritable):
    """A stage with a network, which is built once, and kept by a stage that was loaded as long as its Params stay."""

    def __init__(self) -> None:
        super().__init__()
        self._saved: tuple[tuple[Any, ...], bytes] | None = None

    @abstractmethod
    def network_identity(self) -> tuple[Any, ...]:
        """Return the values of the Params that the network depends on; a RequestError if one is missing."""

    @abstractmethod
    def build_network(self) -> bytes:
        """Return the ONNX file for the present Params."""

    def network(self) -> bytes:
        identity = self.network_identity()
        if self._saved is None or self._saved[0] != identity:
            self._saved = identity, self.build_network()
        return self._saved[1]

    def set_network(self, content: bytes) -> None:
        self._saved = self.network_identity(), content

    def broadcast_file(self, context: SparkContext) -> OnnxFile:
        """Return the ONNX file as a broadcast for the workers."""
        content = self.network()
        return OnnxFile(hashlib.sha256(content).hexdigest(), context.broadcast(content))

    def value_of(self, name: str) -> Any:
        """Return the value of a Param; a RequestError if it has none."""
        if not self.isDefined(name):
            raise RequestError(f"{type(self).__name__} needs {name}")
        return self.getOrDefault(name)

    def set_given(self: S, given: dict[str, Any]) -> S:
        """Set the Params that are not None."""
        return self._set(**{name: value for name, value in given.items() if value is not None})

    def write(self) -> MLWriter:
        return NetworkWriter(self)

    @classmethod
    def read(cls) -> MLReader[Any]:
        return NetworkReader(cls)  # type: ignore[arg-type]
