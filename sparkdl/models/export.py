"""Export of a model as one ONNX file that needs nothing of this package: pixels in, probabilities out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from sparkdl.errors import RequestError
from sparkdl.inference.heads import Head
from sparkdl.networks.graph_builder import GraphBuilder, byte_tensor, float_tensor
from sparkdl.networks.imported.metadata import LABELS, MODEL, PREPROCESSING

if TYPE_CHECKING:
    import onnx

    from sparkdl.inference.fusion import FusedModel
    from sparkdl.models.registry import ModelVersion

_NETWORK = "network."


def export_onnx(version: ModelVersion) -> bytes:
    """Return a model as ONNX; needs no Spark.

    The graph takes `image`, uint8 [N, H, W, 3], RGB, or [N, H, W, 1], gray, and gives `probabilities`, float32 [N, K].
    Its metadata has, as JSON, the names of the classes (`sparkdl.labels`) and how an image becomes such an input
    (`sparkdl.preprocessing`). It computes in 32 bits what a stream computes, in its last step, in 64.

    Raises
    ------
    RequestError
        If the model's pipeline is not one that can be fused.
    SparkdlError
        If the model is refused.
    """
    from sparkdl.inference.classifier import FusedClassifier

    classifier = version.load_without_spark()
    if not isinstance(classifier, FusedClassifier):
        raise RequestError(
            f"model {version.name} has stages that cannot be written as ONNX: expected those of a recipe with a "
            "logistic regression, or an imported model"
        )
    model = _compose(classifier.model, version.name)
    return bytes(model.SerializeToString(deterministic=True))


def _compose(model: FusedModel, name: str) -> onnx.ModelProto:
    import onnx

    network = onnx.compose.add_prefix(onnx.ModelProto.FromString(model.featurizer.network), _NETWORK)
    graph = GraphBuilder(prefix="sparkdl.export.")
    add, constant = graph.node, graph.constant
    height, width, channels = model.featurizer.input_shape
    if channels == 3:
        add("Gather", ["image", constant("channels", np.array([2, 1, 0], np.int64))], f"{_NETWORK}image", axis=3)
    else:
        add("Identity", ["image"], f"{_NETWORK}image")
    graph.nodes.extend(network.graph.node)
    graph.constants.extend(network.graph.initializer)
    y = f"{_NETWORK}features"
    if isinstance(model.head, Head):
        coefficients = constant("coefficients", model.head.coefficients.astype(np.float32))
        intercepts = constant("intercepts", model.head.intercepts.astype(np.float32))
        y, activation = add("Gemm", [y, coefficients, intercepts], "sparkdl.logits"), "softmax"
    else:
        activation = model.head.activation
    if activation == "softmax":
        add("Softmax", [y], "probabilities", axis=1)
    else:
        add("Sigmoid" if activation == "sigmoid" else "Identity", [y], "probabilities")
    image = byte_tensor("image", ["N", height, width, channels])
    probabilities = float_tensor("probabilities", ["N", len(model.head.classes)])
    exported = graph.model(name, [image], [probabilities], base=network)
    metadata = {MODEL: name, LABELS: json.dumps(model.head.classes), PREPROCESSING: json.dumps(_preprocessing(model))}
    for key, value in metadata.items():
        exported.metadata_props.add(key=key, value=value)
    return exported


def _preprocessing(model: FusedModel) -> dict[str, object]:
    height, width, channels = model.featurizer.input_shape
    return {
        "channels": "RGB" if channels == 3 else "GRAY",
        "alpha": "white",
        "ink_margin": model.ink_margin,
        "input_size": [height, width],
        "resize_to": model.featurizer.framing.to_json(),
        "resample": model.featurizer.resample.name,
        "label_threshold": model.head.threshold,
    }
