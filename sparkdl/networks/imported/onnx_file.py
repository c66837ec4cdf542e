"""ONNX files: read with the data that lies in files beside them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from sparkdl.errors import SparkdlError
from sparkdl.networks.imported.files import file_in, read_file
from sparkdl.networks.validation import MAX_BYTES, parse_network, parts_of

if TYPE_CHECKING:
    import onnx


def read_onnx(path: Path, home: Path | None = None) -> bytes:
    """Return the content of an ONNX file, with the tensors that lie in other files of its folder put into it.

    ONNX Runtime is never given the name of a file: what it loads is what this function returns, checked.

    Parameters
    ----------
    home
        As of `sparkdl.networks.imported.files.file_in`, for the files beside it. Default: the folder of the file.

    Raises
    ------
    RequestError
        If the file cannot be read.
    SparkdlError
        If it is no ONNX or too large; if a tensor lies in a file that is not in the folder, or has another length
        there.
    """
    content = read_file(path, MAX_BYTES)
    model = parse_network(content, str(path))
    outside = [part for part in parts_of(model) if part.DESCRIPTOR.name == "TensorProto" and part.external_data]
    if not outside:
        return content
    total = len(content)
    opened: dict[str, bytes] = {}
    for tensor in outside:
        stated = {entry.key: entry.value for entry in tensor.external_data}
        location = stated.get("location", "")
        if location in ("", ".", "..") or Path(location).name != location:
            raise SparkdlError(
                f"{path}: its tensor {tensor.name[:100]!r} lies in {location[:200]!r}; expected a file beside it"
            )
        if location not in opened:
            file = file_in(path.parent, location, home)
            if file is None:
                raise SparkdlError(f"{path}: its tensor {tensor.name[:100]!r} lies in {location!r}, which is missing")
            opened[location] = read_file(file, MAX_BYTES)
        length = _length(tensor, str(path))
        total += length
        if total > MAX_BYTES:
            raise SparkdlError(f"{path}: expected at most {MAX_BYTES} bytes with its data, received more")
        tensor.raw_data = _part(opened[location], stated, length, f"{path}: its tensor {tensor.name[:100]!r}")
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
    return bytes(model.SerializeToString(deterministic=True))


def _length(tensor: onnx.TensorProto, name: str) -> int:
    """Return the bytes of a tensor's values."""
    from onnx import helper

    try:
        size = int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
    except (KeyError, ValueError) as error:
        raise SparkdlError(f"{name}: its tensor {tensor.name[:100]!r} has no known type") from error
    if min(tensor.dims, default=0) < 0:
        raise SparkdlError(f"{name}: its tensor {tensor.name[:100]!r} has a negative size")
    return size * math.prod(int(length) for length in tensor.dims)


def _part(content: bytes, stated: dict[str, str], length: int, what: str) -> bytes:
    try:
        offset, said = int(stated.get("offset", "0")), int(stated.get("length", str(length)))
    except ValueError as error:
        raise SparkdlError(f"{what} does not state where it lies") from error
    if offset < 0 or said != length or offset + length > len(content):
        raise SparkdlError(f"{what} states {said} bytes from {offset}, expected {length} of the file's {len(content)}")
    return content[offset : offset + length]
