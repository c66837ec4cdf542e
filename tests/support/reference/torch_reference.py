"""PyTorch's older file layout, read a second time: what the product's own reader is held against."""

from __future__ import annotations

import collections
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Weights = dict[str, NDArray[Any]]


class _Storage(NamedTuple):
    key: str
    dtype: str


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _tensor(storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object) -> _Tensor:
    return _Tensor(storage, offset, shape, strides)


class _Reader(pickle.Unpickler):
    """Reads PyTorch's older file layout; every other class or function in the file is refused."""

    _ALLOWED: dict[tuple[str, str], Any] = {  # noqa: RUF012 - never changed
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _tensor,
        ("torch", "FloatStorage"): "<f4",
        ("torch", "LongStorage"): "<i8",
    }

    def find_class(self, module: str, name: str) -> Any:
        return self._ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        _, dtype, key, _, _ = pid[:5]
        return _Storage(key, dtype)


def read_checkpoint(path: Path) -> Weights:
    """Names to arrays. The tensors' strides count: this checkpoint keeps its kernels transposed in the file."""
    with path.open("rb") as file:
        _magic, _version, _platform, tensors, keys = (_Reader(file).load() for _ in range(5))
        dtypes = {tensor.storage.key: np.dtype(tensor.storage.dtype) for tensor in tensors.values()}
        storages = {}
        for key in keys:
            count = int.from_bytes(file.read(8), "little")
            storages[key] = np.frombuffer(file.read(count * dtypes[key].itemsize), dtypes[key])
    return {
        name: np.lib.stride_tricks.as_strided(
            storages[tensor.storage.key][tensor.offset :],
            tensor.shape,
            [stride * dtypes[tensor.storage.key].itemsize for stride in tensor.strides],
            writeable=False,
        )
        for name, tensor in tensors.items()
    }
