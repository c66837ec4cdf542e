"""Build the ONNX file of a named network with its ImageNet classifier; built once and cached."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from sparkdl.errors import RequestError
from sparkdl.networks.backbones import BACKBONES, Backbone, backbone
from sparkdl.networks.graph_builder import GraphBuilder, byte_tensor, float_tensor
from sparkdl.networks.preprocessing import preprocess
from sparkdl.networks.weights import find_weights
from sparkdl.system.cache import cache_directory, is_owned, write_cached
from sparkdl.system.hashing import sha256

if TYPE_CHECKING:
    import onnx

CLASSIFIERS = tuple(name for name in BACKBONES if name != "InkNet")
"""The named networks that have an ImageNet classifier."""
CLASSES = 1000

_FORMAT = 1  # raised when the same network starts to give another graph
_KERAS_OUTPUT = "predictions"


def build_classifier(model_name: str, weights: str | None) -> bytes:
    """Return the ONNX file of a named network with its classifier, from the cache if it was built before.

    The graph has one input, `image`: uint8 [N, H, W, 3], BGR, of the network's own size; and one output, `features`:
    float32 [N, 1000], the probabilities of `sparkdl.networks.classifiers.imagenet_classes`.

    Parameters
    ----------
    model_name
        A name out of `CLASSIFIERS`.
    weights
        A file of weights with those of the classifier; None for the published ones.

    Raises
    ------
    RequestError
        If the network has no classifier, the file is missing or of another network, or the extra `keras` is needed.
    """
    network = check_classifier(model_name)
    file = find_weights(network, weights, classifier=True)
    identity = {"name": model_name, "weights": "published" if file is None else sha256(file), "format": _FORMAT}
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]
    cached = cache_directory("networks") / f"{model_name}-classifier-{key}.onnx"
    if is_owned(cached):
        return cached.read_bytes()
    content: bytes = _compose(network, _body(network, file)).SerializeToString(deterministic=True)
    write_cached(cached, content)
    return content


def check_classifier(model_name: str) -> Backbone:
    """Return the named network; a RequestError if there is none, or it has no ImageNet classifier."""
    network = backbone(model_name)
    if model_name not in CLASSIFIERS:
        raise RequestError(f"{model_name} has no ImageNet classifier: expected one of {', '.join(CLASSIFIERS)}")
    return network


def _body(network: Backbone, weights: Path | None) -> onnx.ModelProto:
    """Return the graph from preprocessed pixels to probabilities."""
    if network.keras_file is None:
        from sparkdl.networks.efficientnet import build_classifier as build

        assert weights is not None  # such a network always has a file
        return build(weights)
    from sparkdl.networks.keras_export import export_keras

    body: onnx.ModelProto = export_keras(network.name, weights, network.input_size, [_KERAS_OUTPUT], classifier=True)
    return body


def _compose(network: Backbone, body: onnx.ModelProto) -> onnx.ModelProto:
    """Return `body` after the preprocessing of `network`."""
    graph = GraphBuilder(prefix="sparkdl.constant.")
    preprocess(graph, body.graph, network, grayscale=False)
    graph.nodes.extend(body.graph.node)
    graph.constants[:0] = body.graph.initializer
    graph.node("Identity", [body.graph.output[0].name], "features")
    image = byte_tensor("image", ["N", *network.input_size, 3])
    return graph.model(network.name, [image], [float_tensor("features", ["N", CLASSES])], base=body)
