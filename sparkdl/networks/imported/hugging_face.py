"""Folders in Hugging Face's layout: an ONNX file, and what its JSON files state of it. No code is read or run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.networks.imported.description import Described
from sparkdl.networks.imported.files import file_in, read_json
from sparkdl.networks.imported.image_processors import described_by_processor, described_by_timm
from sparkdl.networks.imported.labels import distinct, labels_of

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
NETWORKS = ("model.onnx", "onnx/model.onnx")
"""Where the network may lie; the first that exists is used."""
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".msgpack", ".h5")
_CLASSIFIES = "ForImageClassification"
_EXPORT = "export it, for example with: optimum-cli export onnx --model FOLDER OUT"


@dataclass(frozen=True)
class Folder:
    """What a folder holds.

    Attributes
    ----------
    network
        Its ONNX file.
    described
        What its JSON files state.
    """

    network: Path
    described: Described


def read_folder(path: Path, described: Described) -> Folder:
    """Return what a folder holds.

    Parameters
    ----------
    described
        What is stated already; then what the folder states otherwise, or in a way that is not read, is left alone.

    Raises
    ------
    SparkdlError
        If it asks for custom code (`auto_map`, `trust_remote_code`), or its weights are pickles only.
    RequestError
        If it has no ONNX file, or its JSON files state what is not read.
    """
    config = read_json(path, CONFIG) or {}
    processor = read_json(path, PREPROCESSOR)
    for name, content in ((CONFIG, config), (PREPROCESSOR, processor or {})):
        _refuse_code(path / name, content)
    network = next((found for name in NETWORKS if (found := file_in(path, name)) is not None), None)
    if network is None:
        raise _no_network(path)
    stated = _described_by_config(config, str(path / CONFIG))
    if _needs_processor(described):
        timm = config.get("pretrained_cfg")
        if processor is not None:
            stated = stated.over(described_by_processor(processor, str(path / PREPROCESSOR)))
        elif isinstance(timm, Mapping):
            stated = stated.over(described_by_timm(timm, f"{path / CONFIG}: pretrained_cfg"))
    return Folder(network, described.over(stated))


def _needs_processor(described: Described) -> bool:
    return None in (described.input_size, described.framing, described.normalization)


def _refuse_code(path: Path, config: Mapping[str, Any]) -> None:
    """Raise a SparkdlError if a file names code to load."""
    waiting: list[Any] = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            for key in ("auto_map", "custom_pipelines", "trust_remote_code"):
                if value.get(key):
                    raise SparkdlError(f"{path}: {key} asks for code of the folder's own, which is never run")
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _no_network(path: Path) -> SparkdlError:
    names = sorted(entry.name for entry in path.iterdir())[:1000]
    pickles = [name for name in names if name.endswith(_PICKLES)]
    if pickles:
        return SparkdlError(
            f"{path}: {pickles[0]} can run code when it is loaded, and there is no model.onnx; {_EXPORT}"
        )
    weights = [name for name in names if name.endswith(".safetensors")]
    if weights:
        return RequestError(
            f"{path}: {weights[0]} holds weights without a graph, and there is no model.onnx; {_EXPORT}"
        )
    return RequestError(f"{path}: expected {' or '.join(NETWORKS)} in it, as in a folder of Hugging Face's")


def _described_by_config(config: Mapping[str, Any], origin: str) -> Described:
    architectures = config.get("architectures")
    names = [name for name in architectures if isinstance(name, str)] if isinstance(architectures, list) else []
    # Exports of the hub's models are NCHW, and leave all sizes free.
    described = Described(layout="NCHW", has_head=any(_CLASSIFIES in name for name in names) if names else None)
    problem = config.get("problem_type")
    if problem is not None:
        if problem == "regression":
            raise RequestError(f"{origin}: problem_type is regression, expected a classifier")
        described = replace(described, multi_label=problem == "multi_label_classification")
    if (labels := config.get("id2label")) is not None:
        described = replace(described, labels=labels_of(labels, f"{origin}: id2label"))
    elif isinstance(named := config.get("label_names"), list):
        described = replace(described, labels=distinct(named, f"{origin}: label_names"), has_head=True)
    return described
