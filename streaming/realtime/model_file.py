"""The file that passes a fused model to scorers: arrays and JSON, no code."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from PIL.Image import Resampling

from sparkdl.formats.envelopes import RAW, Envelope
from sparkdl.images.rejection import Limits
from sparkdl.inference.fused_worker import Head
from sparkdl.inference.fusion import FusedModel
from sparkdl.networks.spec import SCALE_HINTS
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
    ink_margin
        The margin of `sparkdl.InkNormalizer`; None for no ink crop.
    """

    ticket: str
    name: str
    review_below: float
    limits: Limits
    envelope: Envelope | None
    network: bytes
    input_shape: tuple[int, int, int]
    resample: Resampling
    ink_margin: float | None
    head: Head


def write_model(
    path: Path, model: FusedModel, name: str, review_below: float, limits: Limits, envelope: Envelope | None
) -> str:
    """Write a model to `path` atomically; return its ticket."""
    ticket = uuid4().hex
    about = {
        "ticket": ticket,
        "name": name,
        "review_below": review_below,
        "limits": asdict(limits),
        "envelope": RAW if envelope is None else str(envelope),
        "input_shape": model.featurizer.spec.input_shape,
        "scale_hint": model.featurizer.scale_hint,
        "ink_margin": model.ink_margin,
        "classes": model.head.classes,
    }
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(
            file,
            about=np.frombuffer(json.dumps(about).encode(), np.uint8),
            network=np.frombuffer(model.featurizer.network, np.uint8),
            coefficients=model.head.coefficients,
            intercepts=model.head.intercepts,
        )
    return ticket


def read_model(path: Path) -> ScorerModel:
    """Return the model in a file of `write_model`."""
    with np.load(path, allow_pickle=False) as arrays:
        about: dict[str, Any] = json.loads(arrays["about"].tobytes())
        height, width, channels = about["input_shape"]
        return ScorerModel(
            about["ticket"],
            about["name"],
            about["review_below"],
            Limits(**about["limits"]),
            Envelope.parse(about["envelope"]),
            arrays["network"].tobytes(),
            (height, width, channels),
            SCALE_HINTS[about["scale_hint"]],
            about["ink_margin"],
            Head(np.ascontiguousarray(arrays["coefficients"]), arrays["intercepts"], tuple(about["classes"])),
        )
