"""Validation of a saved network before ONNX Runtime loads it: one flat graph of ONNX operators, no other files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sparkdl.errors import SparkdlError
from sparkdl.networks.wire_format import Bounds, ExceededError, check_size

if TYPE_CHECKING:
    import onnx

MAX_BYTES = 1 << 30
"""Maximum bytes of a network. The largest named one, VGG19 with its classifier, has 0.6 GB."""
MAX_PARTS = 200_000
"""Nodes, attributes, tensors, shapes and names in a network; EfficientNetLite0 has 1,400."""

_BOUNDS = Bounds(parts=MAX_PARTS, numbers=1 << 24, fields=10 * MAX_PARTS)
_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
_ORT_FORMAT = b"ORTM"  # bytes 4 to 7 of ONNX Runtime's own format


def check_digest(content: bytes, expected: str, name: str) -> None:
    """Raise a SparkdlError, which calls the network `name`, if its SHA-256 is not `expected`."""
    digest = hashlib.sha256(content).hexdigest()
    if digest != expected:
        raise SparkdlError(f"{name}: expected SHA-256 {expected}, received {digest}")


def check_network(content: bytes, name: str) -> None:
    """Refuse a network with content that no network of this package has, or that could access other files.

    ONNX Runtime opens the files that tensors refer to: for a model given as bytes, files below the working directory,
    and in earlier releases any file. Control flow and functions are refused: without them a graph always ends, because
    each of its nodes runs once.

    Parameters
    ----------
    content
        The ONNX file.
    name
        The name of the network in error messages.

    Raises
    ------
    SparkdlError
        If the network has data in another file, an operator that is not ONNX's, a graph inside the graph or a model
        function, or the file is not ONNX or too large; the message names the cause.
    """
    model = parse_network(content, name)
    for kind, present in (("functions", model.functions), ("training information", model.training_info)):
        if present:
            raise SparkdlError(f"{name}: it holds {kind}, expected only one graph")
    for node in model.graph.node:
        if node.domain not in _DOMAINS:
            raise SparkdlError(f"{name}: its operator {node.domain}.{node.op_type} is not one of ONNX")
    _check_parts(model, name)


def parse_network(content: bytes, name: str) -> onnx.ModelProto:
    """Return the model in an ONNX file that is not too large to parse; what it holds is not checked.

    Raises
    ------
    SparkdlError
        If it is no ONNX with nodes in it, or too large.
    """
    import onnx
    from google.protobuf.message import DecodeError

    if len(content) > MAX_BYTES:
        raise SparkdlError(f"{name}: expected at most {MAX_BYTES} bytes, received {len(content)}")
    model = onnx.ModelProto()
    try:
        check_size(content, model.DESCRIPTOR, _BOUNDS)  # an empty node has 2 bytes, but takes 160 when parsed
        model.ParseFromString(content)
    except ExceededError as error:
        raise SparkdlError(f"{name}: expected a network of at most {MAX_PARTS} parts, received more") from error
    except (DecodeError, ValueError) as error:
        raise SparkdlError(f"{name} is not an ONNX file, or is truncated: {error}") from error
    if content[4:8] == _ORT_FORMAT or not model.graph.node:
        raise SparkdlError(f"{name} is not an ONNX file: expected a graph with nodes in it")
    return model


def parts_of(model: onnx.ModelProto) -> Iterator[Any]:
    """Yield all messages of a model, at every depth, so that no location of a tensor or graph is missed."""
    from google.protobuf.message import Message

    waiting: list[Any] = [model]
    while waiting:
        part = waiting.pop()
        yield part
        for field, value in part.ListFields():
            if field.message_type is not None:
                waiting.extend([value] if isinstance(value, Message) else value)


def _check_parts(model: onnx.ModelProto, name: str) -> None:
    for part in parts_of(model):
        kind = part.DESCRIPTOR.name
        if kind == "TensorProto" and (part.data_location or part.external_data):
            path = next((entry.value for entry in part.external_data if entry.key == "location"), "")
            raise SparkdlError(f"{name}: its tensor {part.name!r} is in another file, {path!r}, which is never read")
        if kind == "AttributeProto" and (part.HasField("g") or part.graphs):
            raise SparkdlError(f"{name}: its attribute {part.name!r} is a graph, expected no loops and no branches")
