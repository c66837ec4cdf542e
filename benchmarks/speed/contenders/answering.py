"""Inference of the contenders of `latency`: decode, crop the ink, predict; a bad image gets a reason."""

from __future__ import annotations

import argparse
import json
import multiprocessing
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from hand_written import steps

DEAD_LETTERS = ".dead-letters"
"""The suffix of the name of the topic of bad images."""


@cache
def answering(model: str, threads: int) -> Callable[[list[bytes]], list[dict[str, Any]]]:
    """Return a function from encoded images to results: prediction, confidence and probabilities, or a `reason`.

    Cached, so that a Python worker that Spark reuses loads the network once.
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


def run_processes(work: Callable[[int, argparse.Namespace], None], *options: str) -> None:
    """Run `work` in `--processes` processes, each with its number and the arguments of the command, until killed.

    Parameters
    ----------
    options
        Names of required arguments in addition to the common ones.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    for name in ("broker", "source", "target"):
        parser.add_argument(name)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    for name in options:
        parser.add_argument(name, required=True)
    chosen = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=work, args=(number, chosen), daemon=True) for number in range(chosen.processes)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
