"""Adapter: makes of a network from outside one that takes images and gives `features`, as those of this package do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.networks.graph_builder import GraphBuilder, byte_tensor, float_tensor
from sparkdl.networks.imported.description import Activation, Described, Layout
from sparkdl.networks.imported.errors import first_line
from sparkdl.networks.validation import check_network

if TYPE_CHECKING:
    import onnx

MIN_OPSET = 7
"""Before it, operators broadcast in another way."""
_QUANTIZED_OPSET = 13
_MAX_SIDE = 4096
_FOREIGN = "net."
_PASSING = ("Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze")  # change no value


@dataclass(frozen=True)
class NetworkInput:
    """The one input of a network.

    Attributes
    ----------
    channels
        1, gray, or 3.
    kind
        The element type, out of `onnx.TensorProto`.
    """

    name: str
    layout: Layout
    size: tuple[int, int]
    channels: int
    kind: int


@dataclass(frozen=True)
class Adapted:
    """A network that takes `image`, uint8 [N, H, W, 1 or 3], gray or BGR, and gives `features`, float32.

    Attributes
    ----------
    content
        The ONNX file.
    input_shape
        Height, width and channels.
    activation
        What makes probabilities of the output: what was stated, else what the graph's last operators tell.
    multi_label
        Whether the last operator is a sigmoid, or was stated to be.
    rank
        The dimensions of the output, with the one of the batch.
    """

    content: bytes
    input_shape: tuple[int, int, int]
    activation: Activation
    multi_label: bool
    rank: int


def adapt(
    content: bytes, name: str, described: Described, output: str | None = None, *, as_body: bool = False
) -> Adapted:
    """Check a network as any from outside, and adapt it.

    Parameters
    ----------
    content
        The ONNX file.
    name
        What messages call it.
    described
        What is stated of it.
    output
        The output to use, if it has several.
    as_body
        Make one that takes `pixels`, float32 [N, H, W, 1 or 3] of 0 to 255, and gives `output`, float32 [N, h, w, c],
        as `sparkdl.networks.builder` joins it with a pooling.

    Raises
    ------
    SparkdlError
        If `sparkdl.networks.validation` refuses it.
    RequestError
        If it has not one input of images, its size or normalization is not known, or it has no such output.
    """
    import onnx

    check_network(content, name)
    model = _modern(onnx.ModelProto.FromString(content), name)
    taken = _input_of(model, name, described)
    chosen = _output_of(model, name, output)
    last = _last_operator(model, chosen)
    foreign = onnx.compose.add_prefix(model, _FOREIGN)
    composed = _compose(foreign, taken, chosen, described, name, as_body=as_body)
    activation, multi_label = _activation(described, last)
    rank = len(composed.graph.output[0].type.tensor_type.shape.dim)
    shape = (*taken.size, taken.channels)
    return Adapted(composed.SerializeToString(deterministic=True), shape, activation, multi_label, rank)


def _modern(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Return a model with operators that quantization knows, if ONNX can convert it."""
    import onnx

    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    if opset >= _QUANTIZED_OPSET:
        return model
    initializers = {tensor.name for tensor in model.graph.initializer}
    kept = [value for value in model.graph.input if value.name not in initializers]  # the converter wants all or none
    try:
        return onnx.version_converter.convert_version(model, _QUANTIZED_OPSET)
    except Exception as error:
        if opset >= MIN_OPSET and kept:
            return model
        raise RequestError(
            f"{name}: expected ONNX's operators of version {MIN_OPSET} or later, received {opset}: {first_line(error)}"
        ) from error


def _dimensions(value: onnx.ValueInfoProto) -> list[int]:
    """Return the sizes of a tensor, 0 for free ones."""
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim]


def _input_of(model: onnx.ModelProto, name: str, described: Described) -> NetworkInput:
    from onnx import TensorProto

    initializers = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in initializers]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs[:10]) or "none"
        raise RequestError(f"{name}: expected one input, images; received {len(inputs)}: {names}")
    (image,) = inputs
    shape, kind = _dimensions(image), image.type.tensor_type.elem_type
    if len(shape) != 4 or kind not in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8):
        raise RequestError(
            f"{name}: expected an input of images, 4 dimensions of float32, float16 or uint8; received {image.name!r}, "
            f"{TensorProto.DataType.Name(kind).lower()} {shape}"
        )
    layout = described.layout or _layout_of(shape, name)
    channels, sides = (shape[1], shape[2:]) if layout == "NCHW" else (shape[3], shape[1:3])
    if channels not in (0, 1, 3):
        raise RequestError(f"{name}: expected images of 1 or 3 channels, received {channels} ({layout} {shape})")
    stated = described.input_size or (None, None)
    height, width = (
        _side(fixed, given, axis, name) for fixed, given, axis in zip(sides, stated, ("height", "width"), strict=True)
    )
    return NetworkInput(image.name, layout, (height, width), channels or 3, kind)


def _layout_of(shape: list[int], name: str) -> Layout:
    first, last = shape[1] in (1, 3), shape[3] in (1, 3)
    if first == last:
        raise RequestError(
            f"{name}: its input {shape} does not tell where the channels are: give --layout NCHW or NHWC"
        )
    return "NCHW" if first else "NHWC"


def _side(fixed: int, given: int | None, axis: str, name: str) -> int:
    if not fixed and given is None:
        raise RequestError(f"{name}: its input has a free {axis}: give --input-size N, or HEIGHTxWIDTH")
    if fixed and given not in (None, fixed):
        raise RequestError(f"{name}: its input has a {axis} of {fixed} pixels, not {given}")
    side = fixed or given or 0
    if not 0 < side <= _MAX_SIDE:
        raise RequestError(f"{name}: expected an input of 1 to {_MAX_SIDE} pixels a side, received {side}")
    return side


def _output_of(model: onnx.ModelProto, name: str, asked: str | None) -> str:
    names = [value.name for value in model.graph.output]
    if asked is None and len(names) > 1:
        asked = next((usual for usual in ("logits", "probabilities") if usual in names), None)
        if asked is None:
            raise RequestError(f"{name}: it has {len(names)} outputs: give --output, one of {', '.join(names[:10])}")
    if asked is not None and asked not in names:
        raise RequestError(f"{name}: it has no output {asked!r}, only {', '.join(names[:10])}")
    return asked or names[0]


def _last_operator(model: onnx.ModelProto, output: str) -> str:
    """Return the operator whose values are the output."""
    makers = {name: node for node in model.graph.node for name in node.output}
    while (node := makers.get(output)) is not None and node.op_type in _PASSING:
        output = node.input[0]
    return "" if node is None else str(node.op_type)


def _activation(described: Described, last: str) -> tuple[Activation, bool]:
    done = last in ("Softmax", "Sigmoid")
    multi_label = described.multi_label if described.multi_label is not None else last == "Sigmoid"
    if described.activation is not None:
        return described.activation, multi_label or described.activation == "sigmoid"
    if done:
        return "none", multi_label
    return ("sigmoid" if multi_label else "softmax"), multi_label


def _compose(
    foreign: onnx.ModelProto, taken: NetworkInput, output: str, described: Described, name: str, *, as_body: bool
) -> onnx.ModelProto:
    from onnx import TensorProto

    graph = GraphBuilder(prefix="sparkdl.constant.")
    add, constant = graph.node, graph.constant
    # The bytes are transposed, not the floats: they are a quarter as many.
    x = add("Transpose", ["pixels" if as_body else "image"], "sparkdl.nchw", perm=[0, 3, 1, 2])
    if taken.channels == 3 and (described.channels or "RGB") == "RGB":
        x = add("Gather", [x, constant("channels", np.array([2, 1, 0], np.int64))], "sparkdl.channels", axis=1)
    if taken.kind == TensorProto.UINT8 and as_body:
        x = add("Cast", [x], "sparkdl.bytes", to=TensorProto.UINT8)
    if taken.kind != TensorProto.UINT8:
        x = _normalize(graph, x, taken, described, name)
    if taken.layout == "NHWC":
        x = add("Transpose", [x], "sparkdl.nhwc", perm=[0, 2, 3, 1])
    add("Identity", [x], _FOREIGN + taken.name)
    graph.nodes.extend(foreign.graph.node)
    graph.constants[:0] = foreign.graph.initializer
    shape = _output_shape(foreign, taken, _FOREIGN + output, name)
    y = add("Cast", [_FOREIGN + output], "sparkdl.float_output", to=TensorProto.FLOAT)
    if as_body:
        y, shape = _as_map(graph, y, shape, taken.layout, name)
        pixels = float_tensor("pixels", ["N", *taken.size, taken.channels])
        add("Identity", [y], "output")
        return _model(graph, name, pixels, float_tensor("output", ["N", *shape[1:]]), foreign)
    if len(shape) == 4 and 1 in (shape[1] * shape[2], shape[2] * shape[3]):
        y, shape = add("Flatten", [y], "sparkdl.flat_output", axis=1), [0, shape[1] * shape[2] * shape[3]]
    add("Identity", [y], "features")
    image = byte_tensor("image", ["N", *taken.size, taken.channels])
    features = float_tensor("features", ["N", *(size or None for size in shape[1:])])
    return _model(graph, name, image, features, foreign)


def _model(
    graph: GraphBuilder,
    name: str,
    taken: onnx.ValueInfoProto,
    given: onnx.ValueInfoProto,
    foreign: onnx.ModelProto,
) -> onnx.ModelProto:
    try:
        return graph.model(name, [taken], [given], base=foreign)
    except Exception as error:
        raise SparkdlError(f"{name} is refused by ONNX's checker: {first_line(error)}") from error


def _as_map(graph: GraphBuilder, y: str, shape: list[int], layout: Layout, name: str) -> tuple[str, list[int]]:
    """Return an output as [N, h, w, c]: a vector has one position, tokens are a row of them."""
    if min(shape[1:], default=0) < 1 or not 2 <= len(shape) <= 4:
        raise RequestError(
            f"{name}: expected an output of known size, [N, c], [N, tokens, c] or a map, received {shape}"
        )
    if len(shape) == 4:
        if layout == "NHWC":
            return y, shape
        y = graph.node("Transpose", [y], "sparkdl.map", perm=[0, 2, 3, 1])
        return y, [shape[0], shape[2], shape[3], shape[1]]
    wanted = [0, 1, shape[1] if len(shape) == 3 else 1, shape[-1]]
    y = graph.node("Reshape", [y, graph.constant("map", np.array(wanted, np.int64))], "sparkdl.map")
    return y, wanted


def _normalize(graph: GraphBuilder, x: str, taken: NetworkInput, described: Described, name: str) -> str:
    """Add `(x * scale - mean) / std`, as one multiplication and one addition."""
    from onnx import TensorProto

    if described.normalization is None:
        raise RequestError(
            f"{name}: its files do not say what its pixels are: give --normalize (none for 0 to 255, unit for 0 to 1, "
            "symmetric for -1 to 1, imagenet or caffe), or --mean and --std"
        )
    mean, std = (np.array(values) for values in described.normalization.per_channel(taken.channels))
    factor, offset = described.normalization.scale / std, -mean / std
    x = graph.node("Cast", [x], "sparkdl.float", to=TensorProto.FLOAT)
    for kind, values, neutral in (("Mul", factor, 1), ("Add", offset, 0)):
        if (values != neutral).any():
            shaped = values.astype(np.float32).reshape(1, -1, 1, 1)
            x = graph.node(kind, [x, graph.constant(kind.lower(), shaped)], f"sparkdl.{kind.lower()}")
    if taken.kind == TensorProto.FLOAT16:
        x = graph.node("Cast", [x], "sparkdl.half", to=TensorProto.FLOAT16)
    return x


def _output_shape(foreign: onnx.ModelProto, taken: NetworkInput, output: str, name: str) -> list[int]:
    """Return the sizes of the output for the input's size, 0 for those that are not known."""
    import onnx

    probe = onnx.ModelProto()
    probe.CopyFrom(foreign)
    (image,) = (value for value in probe.graph.input if value.name == _FOREIGN + taken.name)
    sizes = (taken.channels, *taken.size) if taken.layout == "NCHW" else (*taken.size, taken.channels)
    for dimension, size in zip(image.type.tensor_type.shape.dim, (1, *sizes), strict=True):
        dimension.dim_value = size
    for value in probe.graph.output:
        value.type.tensor_type.ClearField("shape")
    del probe.graph.value_info[:]
    try:
        inferred: Any = onnx.shape_inference.infer_shapes(probe, data_prop=True)
    except Exception as error:
        raise SparkdlError(f"{name}: the shapes of its tensors contradict each other: {first_line(error)}") from error
    (found,) = (value for value in inferred.graph.output if value.name == output)
    return _dimensions(found)


def as_two_classes(content: bytes, *, logits: bool) -> bytes:
    """Return an adapted network of one output, the probability of the second of two classes, with one for each.

    Parameters
    ----------
    logits
        Whether the output becomes a probability by a sigmoid first.
    """
    import onnx

    model = onnx.ModelProto.FromString(content)
    (last,) = (node for node in model.graph.node if "features" in node.output)
    last.output[0] = "sparkdl.second"
    graph = GraphBuilder(prefix="sparkdl.constant.")
    if logits:
        graph.node("Sigmoid", ["sparkdl.second"], "sparkdl.share")
    second = "sparkdl.share" if logits else "sparkdl.second"
    graph.node("Sub", [graph.constant("one", np.ones(1, np.float32)), second], "sparkdl.first")
    graph.node("Concat", ["sparkdl.first", second], "features", axis=1)
    model.graph.node.extend(graph.nodes)
    model.graph.initializer.extend(graph.constants)
    model.graph.output[0].CopyFrom(float_tensor("features", ["N", 2]))
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))
