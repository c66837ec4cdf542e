"""The file that passes a fused model to scorers: arrays and JSON, no code."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Resampling

from sparkdl.formats.envelopes import RAW, Envelope
from sparkdl.images.rejection import Limits
from sparkdl.inference.fusion import FusedModel
from sparkdl.inference.heads import Head, OutputHead
from sparkdl.networks.framing import Framing
from sparkdl.networks.imported.settings import check_activation
from sparkdl.system.files import replacing


@dataclass(frozen=True)
class ScorerModel:
    """A fused model and its settings, as the scorers need them.

    Attributes
    ----------
    ticket
        A random id, different for each file.
    name
        The version, for the rows.
    review_below
        The confidence below which a prediction needs review, 0..1.
    network
        The ONNX file.
    input_shape
        Height, width and channels of its images.
    framing, batch_size
        As of `sparkdl.networks.runtime.Network`.
    ink_margin
        The margin of `sparkdl.InkNormalizer`; None for no ink crop.
    top_k
        The number of most probable classes in an answer; None for all.
    """

    ticket: str
    name: str
    review_below: float
    limits: Limits
    envelope: Envelope | None
    network: bytes
    input_shape: tuple[int, int, int]
    framing: Framing
    resample: Resampling
    batch_size: int
    ink_margin: float | None
    head: Head | OutputHead
    top_k: int | None


def write_model(
    path: Path,
    model: FusedModel,
    name: str,
    review_below: float,
    limits: Limits,
    envelope: Envelope | None,
    top_k: int | None = None,
) -> str:
    """Write a model to `path` atomically; return its ticket."""
    ticket = uuid4().hex
    about = {
        "ticket": ticket,
        "name": name,
        "review_below": review_below,
        "limits": asdict(limits),
        "envelope": RAW if envelope is None else str(envelope),
        "input_shape": model.featurizer.input_shape,
        "framing": model.featurizer.framing.to_json(),
        "resample": model.featurizer.resample.name,
        "batch_size": model.featurizer.batch_size,
        "ink_margin": model.ink_margin,
        "classes": model.head.classes,
        "activation": model.head.activation if isinstance(model.head, OutputHead) else None,
        "threshold": model.head.threshold,
        "top_k": top_k,
    }
    arrays: dict[str, NDArray[Any]] = {"about": np.frombuffer(json.dumps(about).encode(), np.uint8)}
    arrays["network"] = np.frombuffer(model.featurizer.network, np.uint8)
    if isinstance(model.head, Head):
        arrays |= {"coefficients": model.head.coefficients, "intercepts": model.head.intercepts}
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    return ticket


def read_model(path: Path) -> ScorerModel:
    """Return the model in a file of `write_model`."""
    with np.load(path, allow_pickle=False) as arrays:
        about: dict[str, Any] = json.loads(arrays["about"].tobytes())
        height, width, channels = about["input_shape"]
        classes = tuple(about["classes"])
        head: Head | OutputHead
        if about["activation"] is None:
            head = Head(np.ascontiguousarray(arrays["coefficients"]), arrays["intercepts"], classes)
        else:
            head = OutputHead(check_activation(about["activation"]), classes, about["threshold"])
        return ScorerModel(
            about["ticket"],
            about["name"],
            about["review_below"],
            Limits(**about["limits"]),
            Envelope.parse(about["envelope"]),
            arrays["network"].tobytes(),
            (height, width, channels),
            Framing.from_json(about["framing"]),
            Resampling[about["resample"]],
            about["batch_size"],
            about["ink_margin"],
            head,
            about["top_k"],
        )
