"""Persistence of a stage with a network: Spark ML's metadata, and the ONNX file next to it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from pyspark.ml.param import Params
from pyspark.ml.util import DefaultParamsReader, DefaultParamsWriter, MLReadable

from sparkdl.networks.imported.backbones import remember
from sparkdl.networks.spec import NETWORK_FILE
from sparkdl.networks.validation import MAX_BYTES, check_digest, check_network
from sparkdl.spark.hadoop_fs import Files, read_bytes
from sparkdl.spark.private import reset_uid

T = TypeVar("T", bound="MLReadable[Any]")


class StoredNetwork:
    """What a stage with a network has, for `NetworkWriter` and `NetworkReader`."""

    def network(self) -> bytes:
        """Return the ONNX file."""
        raise NotImplementedError

    def set_network(self, content: bytes) -> None:
        """Use an ONNX file that was made for the present Params, as long as they stay as they are."""
        raise NotImplementedError

    def network_metadata(self) -> dict[str, Any]:
        """Return what the stage's metadata states about the network, as JSON."""
        return {}

    def check_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Take over what `network_metadata` gave when the stage was saved."""


UNSAVED = "imageLoader"
"""A Param that is never saved: it is a function, and a saved stage holds no code."""


def saved_params(stage: Params) -> dict[str, Any]:
    """Return the Params that are set on a stage, as its metadata holds them."""
    return {
        param.name: stage.getOrDefault(param) for param in stage.params if stage.isSet(param) and param.name != UNSAVED
    }


class NetworkWriter(DefaultParamsWriter):
    """Writes the metadata of a stage as usual, and its network as `NETWORK_FILE`, to any file system of Spark."""

    def saveImpl(self, path: str) -> None:
        stage = cast("Any", self.instance)
        content, stated = stage.network(), stage.network_metadata()
        network = {"file": NETWORK_FILE, "sha256": hashlib.sha256(content).hexdigest(), **stated}
        DefaultParamsWriter.saveMetadata(
            self.instance, path, self.sparkSession, {"network": network}, saved_params(self.instance)
        )
        Files(self.sparkSession).write_bytes(f"{path}/{NETWORK_FILE}", content)


class NetworkReader(DefaultParamsReader[T]):
    """Reads a stage that `NetworkWriter` wrote.

    Raises
    ------
    SparkdlError
        If the network differs from the metadata, or `check_network` refuses it; the message names the file.
    """

    def load(self, path: str) -> T:
        stage: Any = self.cls()
        metadata = DefaultParamsReader.loadMetadata(
            path, self.sparkSession, f"{type(stage).__module__}.{type(stage).__name__}"
        )
        if "backbone" in metadata["network"]:
            remember(metadata["paramMap"]["modelName"], metadata["network"]["backbone"])
        reset_uid(stage, metadata["uid"])
        DefaultParamsReader.getAndSetParams(stage, metadata)
        file = f"{path}/{NETWORK_FILE}"
        content = read_bytes(self.sparkSession, file, MAX_BYTES)
        check_digest(content, metadata["network"]["sha256"], file)
        check_network(content, file)
        stage.set_network(content)
        stage.check_metadata(metadata["network"])
        return cast("T", stage)
