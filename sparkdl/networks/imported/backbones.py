"""Imported backbones: networks without a classifier in the user's data directory, for recipes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.networks.backbones import BACKBONES, Backbone
from sparkdl.networks.validation import MAX_BYTES, check_digest, check_network
from sparkdl.system.cache import data_directory, is_owned, make_directory
from sparkdl.system.files import write_atomically

if TYPE_CHECKING:
    import onnx

TAP = "output"
"""The one layer that can be tapped."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,59}")
_MAX_JSON = 1 << 16  # bytes
_KNOWN: dict[str, Backbone] = {}
"""Of saved stages that this process has loaded: they bring their own network."""


def check_name(name: str) -> str:
    """Return `name`; a RequestError unless a backbone can be called so."""
    if not _NAME.fullmatch(name):
        raise RequestError(
            f"--backbone: expected a letter, then up to 59 letters, digits, _, - or .; received {name!r}"
        )
    if name in BACKBONES:
        raise RequestError(f"--backbone: {name} is a network of this package, choose another name")
    return name


def save(name: str, content: bytes, input_size: tuple[int, int], channels: int, origin: Mapping[str, Any]) -> Path:
    """Save an adapted network, from `pixels` to `output`, as the backbone `name`; return its file.

    One of the same name is replaced; models that were trained on it keep their own copy.

    Raises
    ------
    SparkdlError
        If it cannot be written.
    """
    directory = data_directory("backbones")
    stated = {
        "input_size": list(input_size),
        "channels": "GRAY" if channels == 1 else "BGR",
        "sha256": hashlib.sha256(content).hexdigest(),
        **origin,
    }
    file = directory / f"{check_name(name)}.onnx"
    try:
        make_directory(directory)
        write_atomically(file, content)
        write_atomically(directory / f"{name}.json", json.dumps(stated, indent=2) + "\n")
    except OSError as error:
        raise SparkdlError(f"{file} cannot be written: {error.strerror}") from error
    return file


def names() -> list[str]:
    """Return the names of the backbones in the data directory."""
    return sorted(path.stem for path in data_directory("backbones").glob("*.json"))


def find(name: str) -> Backbone | None:
    """Return the backbone called `name`: in the data directory, else of a saved stage; None if there is none.

    Raises
    ------
    SparkdlError
        If its description is damaged.
    """
    if not _NAME.fullmatch(name):
        return None
    path = data_directory("backbones") / f"{name}.json"
    return described(name, _stated(path)) if is_owned(path) else _KNOWN.get(name)


def described(name: str, stated: Mapping[str, Any]) -> Backbone:
    """Return the backbone that JSON describes; a SparkdlError if it is damaged."""
    size, channels = stated.get("input_size"), stated.get("channels")
    if (
        not isinstance(size, list)
        or len(size) != 2
        or not all(isinstance(side, int) and side > 0 for side in size)
        or channels not in ("BGR", "GRAY")
    ):
        raise SparkdlError(f"the description of backbone {name} is damaged: import it again")
    return Backbone(
        name, (size[0], size[1]), TAP, channels, (0.0,) if channels == "GRAY" else (0.0,) * 3, 1.0, None, True
    )


def remember(name: str, stated: Mapping[str, Any]) -> None:
    """Know a backbone by what a saved stage states of it, in this process."""
    _KNOWN[name] = described(name, stated)


def file_of(name: str) -> Path:
    """Return the file of an imported backbone.

    Raises
    ------
    RequestError
        If it is known from a saved stage only.
    """
    path = data_directory("backbones") / f"{name}.onnx"
    if not is_owned(path):
        raise RequestError(
            f"the network {name} is not on this machine: import it with sparkdl models import SOURCE --backbone {name}"
        )
    return path


def build(path: Path, taps: tuple[str, ...]) -> onnx.ModelProto:
    """Return the graph from `pixels`, float32 [N, H, W, 1 or 3] of 0 to 255, gray or BGR, to `output`.

    Raises
    ------
    RequestError
        If another layer is tapped.
    SparkdlError
        If the file is not the one that was saved, or is refused.
    """
    import onnx

    if taps != (TAP,):
        raise RequestError(f"{path.stem} has one layer to tap, {TAP!r}; received {', '.join(taps)}")
    content = path.read_bytes()[: MAX_BYTES + 1]
    check_digest(content, str(_stated(path.with_suffix(".json")).get("sha256")), str(path))
    check_network(content, str(path))
    model = onnx.ModelProto()
    model.ParseFromString(content)
    return model


def _stated(path: Path) -> Mapping[str, Any]:
    try:
        stated = json.loads(path.read_bytes()[:_MAX_JSON])
    except (OSError, ValueError, RecursionError) as error:
        raise SparkdlError(f"{path} cannot be read: {str(error)[:200]}") from error
    if not isinstance(stated, dict):
        raise SparkdlError(f"{path}: expected a JSON object")
    return stated
