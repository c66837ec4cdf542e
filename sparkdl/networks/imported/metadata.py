"""Metadata of exported networks: the keys, and what they state of a network that is imported again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sparkdl.errors import RequestError
from sparkdl.networks.framing import Framing
from sparkdl.networks.imported.description import RESAMPLINGS, Described
from sparkdl.networks.imported.labels import labels_of
from sparkdl.networks.imported.settings import check_resample, check_sizes
from sparkdl.networks.spec import check_input_size

if TYPE_CHECKING:
    import onnx

MODEL, LABELS, PREPROCESSING = "sparkdl.model", "sparkdl.labels", "sparkdl.preprocessing"
"""Keys of an exported network's metadata: the name of the model; the names of its classes, and how images become its
input, both as JSON."""


def described_by_metadata(model: onnx.ModelProto, name: str) -> Described:
    """Return what the metadata of an ONNX file states; nothing, unless `sparkdl models export` wrote it.

    Raises
    ------
    RequestError
        If it is damaged, or the network needs handwriting that is cropped to its ink.
    """
    found = {entry.key: entry.value for entry in model.metadata_props}
    if PREPROCESSING not in found or LABELS not in found:
        return Described()
    try:
        stated, labels = json.loads(found[PREPROCESSING]), json.loads(found[LABELS])
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{name}: its metadata is no JSON: {str(error)[:200]}") from error
    if not isinstance(stated, dict):
        raise RequestError(f"{name}: expected {PREPROCESSING} as a JSON object")
    if stated.get("ink_margin") is not None:
        raise RequestError(f"{name}: it takes handwriting cropped to its ink: use the model that it was exported from")
    resize = stated.get("resize_to")
    sizes = check_sizes([] if resize is None else [resize] if isinstance(resize, int) else resize)
    height, width = check_input_size(stated.get("input_size") or [])
    return Described(
        input_size=(height, width),
        framing=Framing(None if not sizes else sizes[0] if len(sizes) == 1 else (sizes[0], sizes[1])),
        resample=RESAMPLINGS[check_resample(stated.get("resample"))],
        channels="RGB",
        layout="NHWC",
        labels=labels_of(labels, f"{name}: {LABELS}"),
        activation="none",
        multi_label=stated.get("label_threshold") is not None,
        has_head=True,
    )
