"""Builder of the ONNX file for a network's description: uint8 images in, feature vectors out; built once and cached."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sparkdl.errors import RequestError
from sparkdl.networks.backbones import Backbone, backbone
from sparkdl.networks.graph_builder import GraphBuilder, byte_tensor, float_tensor
from sparkdl.networks.pooling import grid_of, pooling_matrix
from sparkdl.networks.preprocessing import preprocess
from sparkdl.networks.spec import NetworkSpec
from sparkdl.networks.weights import find_weights
from sparkdl.system.cache import cache_directory, is_owned, write_cached
from sparkdl.system.extras import require_extra
from sparkdl.system.hashing import sha256

if TYPE_CHECKING:
    import onnx

_FORMAT = 3  # raised when the same description starts to give another graph


def build_network(spec: NetworkSpec) -> bytes:
    """Return the ONNX file of `spec`, from the cache if it has been built before.

    The graph has one input, `image`: uint8 [N, H, W, 3], BGR, or [N, H, W, 1], gray; and one output, `features`:
    float32 [N, D].
    """
    network, weights, cached = _find(spec)
    if is_owned(cached):
        return cached.read_bytes()
    content: bytes = _compose(network, spec, _body(network, weights, spec)).SerializeToString(deterministic=True)
    write_cached(cached, content)
    return content


def check_network_available(spec: NetworkSpec) -> None:
    """Check that the requirements of the network of `spec` are installed, without building it.

    Raises
    ------
    RequestError
        If the description is invalid, the file of weights is missing, or the network is neither cached nor exportable.
    """
    network, _, cached = _find(spec)
    if network.keras_file is not None and not is_owned(cached):
        require_extra("keras", f"the export of {network.name}")


def _find(spec: NetworkSpec) -> tuple[Backbone, Path | None, Path]:
    """Return the backbone of `spec`, its file of weights, and the file that caches its ONNX file."""
    network = backbone(spec.model_name)
    grid_of(spec.pooling)
    if not spec.tap_layers or len(set(spec.tap_layers)) != len(spec.tap_layers):
        raise RequestError(f"expected one or more different tap layers, received {list(spec.tap_layers)}")
    if min(spec.input_size) < 1:
        raise RequestError(f"expected an input size of at least 1 x 1 pixels, received {spec.input_size}")
    weights = find_weights(network, spec.weights)
    identity = {**asdict(spec), "weights": "published" if weights is None else sha256(weights), "format": _FORMAT}
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]
    return network, weights, cache_directory("networks") / f"{spec.model_name}-{key}.onnx"


def _body(network: Backbone, weights: Path | None, spec: NetworkSpec) -> onnx.ModelProto:
    """Return the graph from preprocessed pixels to tap layers, as `efficientnet.build` describes it."""
    if network.keras_file is None:
        assert weights is not None  # such a network always has a file
        if network.is_imported:
            from sparkdl.networks.imported import backbones as imported

            return imported.build(weights, spec.tap_layers)
        if network.name == "InkNet":
            from sparkdl.networks import inknet

            return inknet.build(weights, spec.tap_layers)
        from sparkdl.networks import efficientnet

        return efficientnet.build(weights, spec.tap_layers)
    from sparkdl.networks import keras_export as export

    body: onnx.ModelProto = export.export_keras(network.name, weights, spec.input_size, spec.tap_layers)
    return body


def _compose(network: Backbone, spec: NetworkSpec, body: onnx.ModelProto) -> onnx.ModelProto:
    """Return `body` with the preprocessing of `network` before it and the pooling of `spec` after it."""
    shapes = _tap_shapes(body, spec)
    graph = GraphBuilder(prefix="sparkdl.constant.")
    preprocess(graph, body.graph, network, grayscale=spec.grayscale)
    graph.nodes.extend(body.graph.node)
    graph.constants[:0] = body.graph.initializer
    add, constant = graph.node, graph.constant
    vectors, width = [], 0
    for tap, (height, breadth, channels) in zip(spec.tap_layers, shapes, strict=True):
        grid = grid_of(spec.pooling)
        cells = height * breadth
        if grid is not None:
            if grid > min(height, breadth):
                raise RequestError(
                    f"pooling {spec.pooling!r} asks for more cells than layer {tap!r} has at input size "
                    f"{spec.input_size}: {height} x {breadth}"
                )
            rows = add("Reshape", [tap, constant(f"{tap}.rows", np.array([0, cells, channels]))], f"sparkdl.{tap}.rows")
            matrix = constant(f"{tap}.grid", pooling_matrix(height, breadth, grid))
            pooled = add("MatMul", [matrix, rows], f"sparkdl.{tap}.pooled")
            cells = grid * grid
        else:
            pooled = tap
        flat = constant(f"{tap}.flat", np.array([0, cells * channels]))
        vectors.append(add("Reshape", [pooled, flat], f"sparkdl.{tap}.flat_features"))
        width += cells * channels
    add("Concat", vectors, "features", axis=1)

    image, features = byte_tensor("image", ["N", *spec.input_shape]), float_tensor("features", ["N", width])
    return graph.model(spec.model_name, [image], [features], base=body)


def _tap_shapes(body: onnx.ModelProto, spec: NetworkSpec) -> list[tuple[int, int, int]]:
    """Return height, width and channels of each tap at the input size of `spec`."""
    import onnx

    probe = onnx.ModelProto()
    probe.CopyFrom(body)
    dimensions = probe.graph.input[0].type.tensor_type.shape.dim
    for axis, size in enumerate((1, *spec.input_size)):
        if dimensions[axis].dim_value not in (0, size):
            fixed = " x ".join(str(dimension.dim_value) for dimension in dimensions[1:3])
            raise RequestError(f"{spec.model_name} takes images of {fixed} pixels, not {spec.input_size}")
        dimensions[axis].dim_value = size
    inferred = onnx.shape_inference.infer_shapes(probe, data_prop=True)
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in inferred.graph.output
    }
    for tap in spec.tap_layers:
        if min(shapes[tap]) < 1:
            raise RequestError(f"input size {spec.input_size} is too small for layer {tap!r} of {spec.model_name}")
    return [(shapes[tap][1], shapes[tap][2], shapes[tap][3]) for tap in spec.tap_layers]
