"""Inference in a scorer: encoded images to answers, by the same code as in the workers of micro-batches."""

from __future__ import annotations

import hashlib
import io
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import pyarrow as pa
from PIL import Image

from sparkdl.formats.envelopes import NO_ATTRIBUTES, Attributes
from sparkdl.inference.fused_worker import FusedInference
from sparkdl.networks.runtime import Network
from sparkdl.spark import arrow
from streaming.realtime.model_file import ScorerModel

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """An encoded image, or a message that contains one, with the envelope attributes in its headers."""

    payload: bytes | None
    attributes: Attributes = NO_ATTRIBUTES


@dataclass(frozen=True)
class _Held(Generic[T]):
    """A value of this process, with the interface of a broadcast variable."""

    value: T


class Scorer:
    """A model, ready to answer requests."""

    def __init__(self, model: ScorerModel) -> None:
        self._model = model
        digest, content = hashlib.sha256(model.network).hexdigest(), _Held(model.network)
        network = Network(digest, content, model.input_shape, model.framing, model.batch_size)
        self._inference = FusedInference(
            model.limits, model.ink_margin, network, model.resample, _Held(model.head), model.envelope, model.top_k
        )

    def score(self, requests: Sequence[Request]) -> list[bytes]:
        """Return the answer to each request, in the format that `RealtimeScorer.java` reads."""
        results = _results(self._inference, requests)
        now = time.time_ns() // 1000
        return [self._answer(row, now) for row in results]

    def trial(self) -> str:
        """Classify a gray image; return the reason of a failure, empty on success."""
        file = io.BytesIO()
        Image.new("L", (32, 32), 127).save(file, "PNG")
        (row,) = _results(replace(self._inference, envelope=None), [Request(file.getvalue())])
        return f"it fails on an image: {row['detail']}" if row["reason"] is not None else ""

    def _answer(self, row: dict[str, Any], now: int) -> bytes:
        head = _text(self._model.name) + struct.pack(">dq", self._model.review_below, now)
        head += _text(row["reason"]) + _text(row["detail"])
        if row["reason"] is not None:
            return head
        shares, labels = row["probabilities"], row["labels"]
        return b"".join(
            [
                head,
                _text(row["prediction"]),
                struct.pack(">di", row["confidence"], len(shares)),
                *(_text(name) + struct.pack(">d", share) for name, share in shares),
                struct.pack(">i", -1 if labels is None else len(labels)),
                *(_text(name) for name in labels or ()),
            ]
        )


def failure(reason: str) -> bytes:
    """Return the answer that fails the stream: the name of the model is null."""
    return _text(None) + _text(reason)


def _results(inference: FusedInference, requests: Sequence[Request]) -> list[dict[str, Any]]:
    payloads = arrow.binary_array([request.payload for request in requests])
    attributes = pa.StructArray.from_arrays(
        [arrow.string_array(values) for values in zip(*(request.attributes for request in requests), strict=True)],
        names=Attributes._fields,
    )
    rows: list[dict[str, Any]] = inference.predict(payloads, attributes).to_pylist()
    return rows


def _text(value: str | None) -> bytes:
    if value is None:
        return struct.pack(">i", -1)
    content = value.encode()
    return struct.pack(">i", len(content)) + content
