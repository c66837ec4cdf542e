"""Reads the tensors of a legacy PyTorch checkpoint (`.pth`) with numpy, running nothing from it."""

from __future__ import annotations

import math
import pickle
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from sparkdl.errors import SparkdlError

# The legacy layout: four pickles (magic, protocol, system, the object with storages by reference), a pickled list of
# storage keys, then for each key its element count (int64) and its raw little-endian elements.
_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


@dataclass(frozen=True)
class _StorageType:
    dtype: Any


@dataclass(frozen=True)
class _View:
    """A tensor before its storage has been read; sizes and strides count elements."""

    key: str
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def _view(storage: str, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> _View:
    return _View(storage, offset, tuple(size), tuple(stride))


class _TensorsOnly(pickle.Unpickler):
    """An unpickler that knows the four names a state dict is made of and refuses every other."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.storages: dict[str, np.dtype[Any]] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _view
        if module == "torch" and name in _DTYPES:
            return _StorageType(_DTYPES[name])
        raise pickle.UnpicklingError(f"{module}.{name} is not part of a table of tensors")

    def persistent_load(self, pid: Any) -> str:
        kind, storage_type, key = pid[0], pid[1], pid[2]
        if kind != "storage" or not isinstance(storage_type, _StorageType):
            raise pickle.UnpicklingError(f"expected a reference to a storage, received {kind!r}")
        self.storages[key] = storage_type.dtype
        return str(key)


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """The state dict of the checkpoint at `path`: name to array, float32 or int64.

    Raises
    ------
    SparkdlError
        If the file is missing, is not a legacy checkpoint, or holds anything but tensors.
    """
    try:
        with path.open("rb") as file:
            header = [_TensorsOnly(file).load() for _ in range(3)]
            if header[0] != _MAGIC or header[1] != _PROTOCOL:
                raise pickle.UnpicklingError("it begins as another format does")
            unpickler = _TensorsOnly(file)
            views = unpickler.load()
            storages = {key: _read_storage(file, unpickler.storages[key]) for key in _TensorsOnly(file).load()}
        return {name: _tensor(view, storages[view.key]) for name, view in views.items() if isinstance(view, _View)}
    except Exception as error:  # a damaged pickle can raise anything
        raise SparkdlError(f"{path}: cannot be read as a legacy PyTorch checkpoint: {error}") from error


def _read_storage(file: IO[bytes], dtype: np.dtype[Any]) -> NDArray[Any]:
    count = int.from_bytes(file.read(8), "little", signed=True)
    content = file.read(max(count, 0) * dtype.itemsize)
    if len(content) != count * dtype.itemsize:
        raise ValueError(f"expected {count} elements, received {len(content)} bytes, then the end of the file")
    return np.frombuffer(content, dtype)


def _tensor(view: _View, storage: NDArray[Any]) -> NDArray[Any]:
    """The elements that `view` sees. Strides are not checked by numpy, so it is done here."""
    last = view.offset + sum((size - 1) * step for size, step in zip(view.size, view.stride, strict=True))
    numbers = (view.offset, *view.size, *view.stride)
    if min(numbers) < 0 or last >= storage.size or math.prod(view.size) > storage.size:
        raise ValueError(f"a tensor {list(view.size)} at {view.offset} reaches past the {storage.size} stored elements")
    strides = [step * storage.itemsize for step in view.stride]
    return np.lib.stride_tricks.as_strided(storage[view.offset :], view.size, strides).copy()
