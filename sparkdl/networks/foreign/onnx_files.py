"""ONNX files that users name: read, checked, and asked for their tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sparkdl.errors import RequestError, SparkdlError, unknown
from sparkdl.networks.validation import MAX_BYTES, check_network

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Tensor:
    """An input or output of a network.

    Attributes
    ----------
    dtype
        The numpy type of its elements; `object` for strings.
    shape
        Its dimensions, None for one that is free; None if the file does not say how many there are.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...] | None


def read_onnx(file: str) -> bytes:
    """Return the content of an ONNX file, checked by `sparkdl.networks.validation.check_network`.

    Raises
    ------
    RequestError
        If there is no such file.
    SparkdlError
        If it is refused.
    """
    path = Path(file)
    if not path.is_file():
        raise RequestError(f"no such ONNX file: {file}")
    if path.stat().st_size > MAX_BYTES:
        raise SparkdlError(f"{file}: expected at most {MAX_BYTES} bytes, received {path.stat().st_size}")
    content = path.read_bytes()
    check_network(content, file)
    return content


def parse_onnx(content: bytes) -> onnx.ModelProto:
    """Return a checked ONNX file as a message."""
    import onnx

    return onnx.load_from_string(content)


def inputs_of(model: onnx.ModelProto) -> tuple[Tensor, ...]:
    """Return the inputs that a caller gives, without constants, which old files list too."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return _tensors(value for value in model.graph.input if value.name not in constants)


def outputs_of(model: onnx.ModelProto) -> tuple[Tensor, ...]:
    """Return the outputs."""
    return _tensors(model.graph.output)


def choose(tensors: Sequence[Tensor], name: str | None, kind: str, file: str) -> Tensor:
    """Return the tensor called `name`, or the only one; a RequestError if there is none, or no only one.

    Parameters
    ----------
    kind
        "input tensor" or "output tensor".
    file
        What the message calls the network.
    """
    if name is None:
        if len(tensors) != 1:
            names = ", ".join(tensor.name for tensor in tensors)
            raise RequestError(f"{file}: expected the name of one {kind}, as there are several: {names}")
        return tensors[0]
    for tensor in tensors:
        if tensor.name == name.removesuffix(":0"):  # as TensorFlow names it
            return tensor
    raise unknown(kind, name, [tensor.name for tensor in tensors])


def _tensors(values: Iterable[Any]) -> tuple[Tensor, ...]:
    from onnx import helper

    found = []
    for value in values:
        kind = value.type.tensor_type
        dims = [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim]
        shape = tuple(dims) if kind.HasField("shape") else None
        found.append(Tensor(value.name, np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type)), shape))
    return tuple(found)
