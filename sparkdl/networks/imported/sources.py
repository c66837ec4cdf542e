"""Sources of networks: ONNX and Keras files, folders in Hugging Face's layout, and repositories of its hub."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from sparkdl.errors import RequestError
from sparkdl.networks.imported.description import Described
from sparkdl.networks.imported.hub import check_address, download
from sparkdl.networks.imported.hugging_face import read_folder
from sparkdl.networks.imported.metadata import described_by_metadata
from sparkdl.networks.imported.onnx_file import read_onnx
from sparkdl.networks.validation import parse_network
from sparkdl.system.extras import require_extra

HUB = "hf:"
FORMS = "FILE.onnx, FILE.keras, FILE.h5, a folder in Hugging Face's layout, or hf:OWNER/NAME"
_KERAS = (".keras", ".h5", ".hdf5")
_UNSAFE = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt", ".joblib")
_LONGEST_NAME = 60


@dataclass(frozen=True)
class Foreign:
    """A network from outside, and what is known of it.

    Attributes
    ----------
    origin
        Where it came from, without the path: a file's or folder's name, or `hf:OWNER/NAME`.
    kind
        The kind of source, in words.
    content
        Its ONNX file; unchecked.
    described
        What was stated, then what its files state.
    """

    origin: str
    kind: str
    content: bytes
    described: Described

    @property
    def sha256(self) -> str:
        """The digest of the network."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def stem(self) -> str:
        """A name for it: letters, digits, `_`, `-` and `.`."""
        name = self.origin
        if name.startswith(HUB):
            name = name.partition("@")[0].rpartition("/")[2]
        stem = Path(name).stem if name.endswith((*_KERAS, ".onnx")) else name
        return re.sub(r"[^A-Za-z0-9_.-]+", "-", stem).strip("-.")[:_LONGEST_NAME] or "model"


def check_source(address: str) -> None:
    """Check what can be checked without reading a network.

    Raises
    ------
    RequestError
        If there is no such source, it is of another kind, or an extra is missing.
    """
    if address.startswith(HUB):
        check_address(address)
        return
    path = Path(address)
    if path.is_dir():
        return
    suffix = path.suffix.lower()
    if suffix in _UNSAFE:
        raise RequestError(f"{address}: a {suffix} file can run code when it is loaded; expected {FORMS}")
    if suffix not in (".onnx", *_KERAS):
        what = "has no known form" if path.exists() else "does not exist"
        raise RequestError(f"{address} {what}: expected {FORMS}")
    if not path.is_file():
        raise RequestError(f"no such file: {address}")
    if suffix in _KERAS:
        require_extra("keras", f"importing {path.name}")


def read_source(address: str, stated: Described) -> Foreign:
    """Read a network; of a Keras file, after its conversion.

    Parameters
    ----------
    stated
        What is stated of it; it counts more than what its files state.

    Raises
    ------
    RequestError
        If there is no such source, it is of another kind, or an extra is missing.
    SparkdlError
        If it is refused: code in it, links, data elsewhere, too much of anything.
    """
    check_source(address)
    if address.startswith(HUB):
        return _read_folder(address, download(address), stated)
    path = Path(address)
    if path.is_dir():
        return _read_folder(path.resolve().name, path, stated)
    if path.suffix.lower() == ".onnx":
        content = read_onnx(path)
        told = described_by_metadata(parse_network(content, path.name), path.name)
        return Foreign(path.name, "ONNX file", content, stated.over(told))
    from sparkdl.networks.imported.keras_file import read_keras

    content, described = read_keras(path)
    return Foreign(path.name, "Keras file", content, stated.over(described))


def _read_folder(origin: str, path: Path, stated: Described) -> Foreign:
    folder = read_folder(path, stated)
    return Foreign(origin, "Hugging Face folder", read_onnx(folder.network, path), folder.described)
