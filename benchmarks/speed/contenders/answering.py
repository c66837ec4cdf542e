"""What the contenders of `latency` do with images: decode, crop the ink, predict; a bad image gets a reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from hand_written import steps

DEAD_LETTERS = ".dead-letters"
"""What the name of the topic of bad images ends with."""


@cache
def answering(model: str, threads: int) -> Callable[[list[bytes]], list[dict[str, Any]]]:
    """A function of encoded images to an answer each: prediction, confidence and probabilities, or a `reason`.

    Cached, so that a Python worker of Spark's that is used again loads the network once.
    """
    from PIL import Image

    prepare, infer = steps(Path(model), threads)
    classes = json.loads((Path(model) / "about.json").read_text())["classes"]

    def answer(payloads: list[bytes]) -> list[dict[str, Any]]:
        answers: list[dict[str, Any]] = [{} for _ in payloads]
        prepared = {}
        for number, payload in enumerate(payloads):
            try:
                prepared[number] = prepare(payload)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                answers[number]["reason"] = str(error)
        for number, shares in zip(prepared, infer(list(prepared.values())) if prepared else (), strict=True):
            best = int(shares.argmax())
            answers[number] = {
                "prediction": classes[best],
                "confidence": float(shares[best]),
                "probabilities": dict(zip(classes, shares.tolist(), strict=True)),
            }
        return answers

    return answer
