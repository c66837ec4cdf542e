"""Reading of the tensors of a legacy PyTorch checkpoint (`.pth`) with numpy, without running code from it."""

from __future__ import annotations

import io
import math
import pickle
from collections import OrderedDict
from collections.abc import Callable
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


MAX_BYTES = 1 << 30
"""Maximum bytes of a file, and of all its tensors; the weights of EfficientNetLite0 have 19 MB."""
_DIMENSIONS = 8
_STEPS = 1_000_000  # of a pickle; the weights of EfficientNetLite0 take 11,327


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
    # The content of a file may be nested so deeply that printing or multiplying it would never end.
    for numbers in ((offset,), size, stride):
        if type(numbers) is not tuple or len(numbers) > _DIMENSIONS:
            raise pickle.UnpicklingError("a tensor's sizes are not a short list")
        if any(type(number) is not int or not -(1 << 40) < number < 1 << 40 for number in numbers):
            raise pickle.UnpicklingError("a tensor's sizes are not numbers that fit in a file")
    if type(storage) is not str:
        raise pickle.UnpicklingError("a tensor refers to no storage")
    return _View(storage, offset, size, stride)


# The opcodes of PyTorch's legacy format; none of them creates objects of classes or changes one in place.
_KNOWN = (
    *(pickle.PROTO, pickle.STOP, pickle.MARK, pickle.POP, pickle.GLOBAL, pickle.REDUCE, pickle.BUILD),
    *(pickle.BINPERSID, pickle.BINPUT, pickle.LONG_BINPUT, pickle.BINGET, pickle.LONG_BINGET),
    *(pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.LONG1),
    *(pickle.BINUNICODE, pickle.BINFLOAT),
    *(pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
    *(pickle.EMPTY_LIST, pickle.APPEND, pickle.APPENDS, pickle.EMPTY_DICT, pickle.SETITEM, pickle.SETITEMS),
)


class _TensorsOnly(pickle._Unpickler):
    """An unpickler that accepts only the four names that occur in a state dict.

    It extends Python's own implementation: the one in C allocates as many memo entries as a number in the file states.
    """

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.storages: dict[str, np.dtype[Any]] = {}
        self._steps = 0

    def _step(self, code: int) -> Callable[[Any], None]:
        self._steps += 1
        if self._steps > _STEPS:
            raise pickle.UnpicklingError(f"it takes more than {_STEPS} steps")
        if code not in _LOADERS:
            raise pickle.UnpicklingError(f"{chr(code)!r} is not an opcode of a table of tensors")
        return _LOADERS[code]

    @property
    def dispatch(self) -> _Steps:  # type: ignore[override]  # it is only used as a table
        return _Steps(self)

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _view
        if module == "torch" and name in _DTYPES:
            return _StorageType(_DTYPES[name])
        raise pickle.UnpicklingError(f"{module[:100]}.{name[:100]} is not part of a table of tensors")

    def persistent_load(self, pid: Any) -> str:
        kind, storage_type, key = pid[0], pid[1], pid[2]
        if type(kind) is not str or kind != "storage" or not isinstance(storage_type, _StorageType):
            raise pickle.UnpicklingError("expected a reference to a storage")
        if type(key) is not str:
            raise pickle.UnpicklingError("expected the key of a storage")
        self.storages[key] = storage_type.dtype
        return key


class _Steps:
    """The table in which an unpickler looks up a step."""

    def __init__(self, unpickler: _TensorsOnly) -> None:
        self._unpickler = unpickler

    def __getitem__(self, code: int) -> Callable[[Any], None]:
        return self._unpickler._step(code)


def _reduce(unpickler: Any) -> None:
    """Call one of the two functions; an ordered dict starts empty, and later steps fill it."""
    arguments, function = unpickler.stack.pop(), unpickler.stack[-1]
    if function is OrderedDict and arguments == ():
        unpickler.stack[-1] = OrderedDict()
    elif function is _view and type(arguments) is tuple:
        unpickler.stack[-1] = _view(*arguments)
    else:
        raise pickle.UnpicklingError("it calls a function that is not part of a table of tensors")


def _build(unpickler: Any) -> None:
    """Ignore the attributes of a table, to which PyTorch writes versions."""
    unpickler.stack.pop()
    if type(unpickler.stack[-1]) is not OrderedDict:
        raise pickle.UnpicklingError("it sets attributes of an object that is not a table")


def _set_items(unpickler: Any) -> None:
    items, table = unpickler.pop_mark(), unpickler.stack[-1]
    if type(table) not in (dict, OrderedDict):
        raise pickle.UnpicklingError("it fills an object that is not a table")
    table.update(zip(items[::2], items[1::2], strict=True))


_LOADERS: dict[int, Callable[[Any], None]] = {code[0]: pickle._Unpickler.dispatch[code[0]] for code in _KNOWN} | {
    pickle.REDUCE[0]: _reduce,
    pickle.BUILD[0]: _build,
    pickle.SETITEMS[0]: _set_items,
}


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Return the state dict of the checkpoint at `path`: name to array, float32 or int64.

    Raises
    ------
    SparkdlError
        If the file is missing, is not a legacy checkpoint, or contains anything but tensors.
    """
    try:
        with path.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES >> 30} GiB")
        file = io.BytesIO(content)  # never reads beyond its end, whatever length the content states
        header = [_TensorsOnly(file).load() for _ in range(3)]
        if header[:2] != [_MAGIC, _PROTOCOL]:
            raise pickle.UnpicklingError("it begins like another format")
        unpickler = _TensorsOnly(file)
        views = {name: view for name, view in unpickler.load().items() if isinstance(view, _View)}
        keys = _TensorsOnly(file).load()
        storages = {key: _read_storage(file, unpickler.storages[key]) for key in keys}
        if sum(math.prod(view.size) * storages[view.key].itemsize for view in views.values()) > MAX_BYTES:
            raise ValueError(f"its tensors have more than {MAX_BYTES >> 30} GiB")
        return {name: _tensor(view, storages[view.key]) for name, view in views.items()}
    except Exception as error:  # a damaged pickle can raise anything
        raise SparkdlError(f"{path}: cannot be read as a legacy PyTorch checkpoint: {str(error)[:300]}") from error


def _read_storage(file: IO[bytes], dtype: np.dtype[Any]) -> NDArray[Any]:
    count = int.from_bytes(file.read(8), "little", signed=True)
    content = file.read(min(max(count, 0) * dtype.itemsize, MAX_BYTES))
    if len(content) != count * dtype.itemsize:
        raise ValueError(f"expected {count} elements, received {len(content)} bytes, then the end of the file")
    return np.frombuffer(content, dtype)


def _tensor(view: _View, storage: NDArray[Any]) -> NDArray[Any]:
    """Return the elements of `view`, after a check of its strides, which numpy does not check."""
    last = view.offset + sum((size - 1) * step for size, step in zip(view.size, view.stride, strict=True))
    numbers = (view.offset, *view.size, *view.stride)
    if min(numbers) < 0 or last >= storage.size or math.prod(view.size) > storage.size:
        raise ValueError(f"a tensor {list(view.size)} at {view.offset} reaches past the {storage.size} stored elements")
    strides = [step * storage.itemsize for step in view.stride]
    return np.lib.stride_tricks.as_strided(storage[view.offset :], view.size, strides).copy()
