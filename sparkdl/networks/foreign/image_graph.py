"""Compose a foreign network of images with its preprocessing: from the bytes of images to its output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sparkdl.errors import RequestError
from sparkdl.networks.backbones import Backbone, Channels
from sparkdl.networks.foreign.onnx_files import Tensor, choose, inputs_of, outputs_of, parse_onnx
from sparkdl.networks.graph_builder import GraphBuilder, byte_tensor, float_tensor
from sparkdl.networks.preprocessing import preprocess

if TYPE_CHECKING:
    import onnx

CHANNEL_ORDERS: dict[str, tuple[Channels, int]] = {"RGB": ("RGB", 3), "BGR": ("BGR", 3), "L": ("GRAY", 1)}
"""The orders of channels that a network takes, as the original library names them, and how many there are."""
LAYOUTS = ("NCHW", "NHWC")

_MIN_OPSET = 10
_PREFIX = "network/"
_LAYOUT = "sparkdl.layout"


@dataclass(frozen=True)
class ImageInput:
    """How a network takes images.

    Attributes
    ----------
    channel_order
        A name out of `CHANNEL_ORDERS`.
    size
        Height and width, pixels; None for those that the network states.
    mean, scale
        The network takes `(x - mean) * scale`, x in 0..255; one value, or one a channel in the order of the network.
    layout
        One of `LAYOUTS`; None to read it from the number of channels.
    """

    channel_order: str
    size: tuple[int, int] | None = None
    mean: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)
    layout: str | None = None


def compose_image_network(
    content: bytes, file: str, given: ImageInput, input_name: str | None = None, output_name: str | None = None
) -> bytes:
    """Return an ONNX file from `image`, uint8 [N, H, W, C], C = 3 (BGR) or 1, to `features`, an output of the network.

    Parameters
    ----------
    content
        A checked ONNX file.
    file
        What messages call it.
    input_name, output_name
        The tensors to use; None where there is one.

    Raises
    ------
    RequestError
        If the input is no batch of images of `given`, or a size or layout is neither given nor stated.
    """
    import onnx

    model = parse_onnx(content)
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if opset < _MIN_OPSET:
        raise RequestError(f"{file}: expected opset {_MIN_OPSET} or later, received {opset}: export the network again")
    taken = choose(inputs_of(model), input_name, "input tensor", file)
    if len(inputs_of(model)) != 1:
        raise RequestError(f"{file}: expected one input, images, received {len(inputs_of(model))}")
    output = choose(outputs_of(model), output_name, "output tensor", file)
    if output.shape is None:
        raise RequestError(f"{file}: its output {output.name} does not state its dimensions: export the network again")
    channels = CHANNEL_ORDERS[given.channel_order][1]
    layout = _layout(taken, given, file)
    height, width = _size(taken, given, layout, file)

    if model.graph.sparse_initializer:
        raise RequestError(f"{file}: it has sparse constants, which are not supported: export it with dense ones")
    body = onnx.compose.add_prefix(model, _PREFIX, rename_functions=False)
    body.ir_version = max(body.ir_version, 4)  # before it, constants had to be inputs
    _start_at_pixels(body.graph, f"{_PREFIX}{taken.name}", layout, taken)
    graph = GraphBuilder(prefix="sparkdl.constant.")
    uniform = len(set(given.scale)) == 1
    means = given.mean * channels if len(given.mean) == 1 else given.mean
    order = CHANNEL_ORDERS[given.channel_order][0]
    first = given.scale[0] if uniform else 1.0
    described = Backbone(file, (height, width), "", order, means, first, None)
    preprocess(graph, body.graph, described, grayscale=channels == 1)
    if not uniform:
        _rename(graph.nodes[-1].output, "pixels", "sparkdl.unscaled")
        scales = graph.constant("scales", np.array(given.scale, np.float32))
        graph.node("Mul", ["sparkdl.unscaled", scales], "pixels")
    graph.nodes.extend(body.graph.node)
    graph.constants[:0] = body.graph.initializer
    graph.node("Cast", [f"{_PREFIX}{output.name}"], "features", to=onnx.TensorProto.FLOAT)
    batch: int | str = 1 if taken.shape is not None and taken.shape[0] == 1 else "N"
    image = byte_tensor("image", [batch, height, width, channels])
    features = float_tensor("features", [None] * len(output.shape))
    composed = graph.model("images", [image], [features], base=body)
    onnx.helper.set_model_props(composed, {_LAYOUT: layout})
    result: bytes = composed.SerializeToString(deterministic=True)
    return result


def layout_of(composed: onnx.ModelProto) -> str:
    """Return the layout of the network in what `compose_image_network` returned, one of `LAYOUTS`."""
    return next((entry.value for entry in composed.metadata_props if entry.key == _LAYOUT), LAYOUTS[1])


def _start_at_pixels(graph: onnx.GraphProto, name: str, layout: str, taken: Tensor) -> None:
    """Let a graph begin with `pixels`, float32 [N, H, W, C], in place of its input `name`."""
    from onnx import helper

    first, x = list[object](), "pixels"
    if layout == "NCHW":
        first.append(helper.make_node("Transpose", [x], [f"{_PREFIX}sparkdl.nchw"], perm=[0, 3, 1, 2]))
        x = f"{_PREFIX}sparkdl.nchw"
    if taken.dtype != np.float32:
        kind = helper.np_dtype_to_tensor_dtype(taken.dtype)
        first.append(helper.make_node("Cast", [x], [f"{_PREFIX}sparkdl.cast"], to=kind))
        x = f"{_PREFIX}sparkdl.cast"
    nodes = list(graph.node)
    for node in nodes:
        _rename(node.input, name, x)
    del graph.node[:]
    graph.node.extend([*first, *nodes])


def _rename(names: object, old: str, new: str) -> None:
    for index, name in enumerate(names):  # type: ignore[arg-type, var-annotated] # a list of protobuf's
        if name == old:
            names[index] = new  # type: ignore[index]


def _layout(taken: Tensor, given: ImageInput, file: str) -> str:
    if taken.shape is None or len(taken.shape) != 4:
        raise RequestError(f"{file}: expected an input of images, [N, C, H, W] or [N, H, W, C], received {taken.shape}")
    channels = CHANNEL_ORDERS[given.channel_order][1]
    possible = [layout for layout in LAYOUTS if taken.shape[layout.index("C")] in (channels, None)]
    stated = [layout for layout in possible if taken.shape[layout.index("C")] == channels]
    if given.layout is not None:
        if given.layout not in possible:
            raise RequestError(
                f"{file}: expected {channels} channels ({given.channel_order}) in layout {given.layout}, "
                f"received an input {_shape(taken.shape)}"
            )
        return given.layout
    if not possible:
        raise RequestError(
            f"{file}: expected {channels} channels ({given.channel_order}), received an input {_shape(taken.shape)}"
        )
    if len(stated) != 1:
        raise RequestError(f"{file}: set layout to NCHW or NHWC, as an input {_shape(taken.shape)} does not tell")
    return stated[0]


def _size(taken: Tensor, given: ImageInput, layout: str, file: str) -> tuple[int, int]:
    assert taken.shape is not None
    stated = tuple(taken.shape[layout.index(side)] for side in "HW")
    sides = []
    for which, side in enumerate(stated):
        asked = None if given.size is None else given.size[which]
        if side is None and asked is None:
            raise RequestError(f"{file}: set size to [height, width], as its input {_shape(taken.shape)} has none")
        if side is not None and asked is not None and side != asked:
            raise RequestError(
                f"{file}: expected images of {_shape(stated)} pixels, received size {list(given.size or ())}"
            )
        sides.append(side if side is not None else asked)
    return sides[0], sides[1]  # type: ignore[return-value] # each is one of the two


def _shape(sides: Sequence[int | None]) -> str:
    return " x ".join("?" if side is None else str(side) for side in sides)
