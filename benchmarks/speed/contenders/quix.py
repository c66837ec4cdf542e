"""Quix Streams as its documentation has it: a topic of images to a topic of predictions, one message after the other.

python quix.py MODEL HOST:PORT FROM TO --images N --processes 2 --threads 1 --group NAME

Runs that many instances of the application in one consumer group.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from pathlib import Path
from typing import Any

from hand_written import predictor


def work(chosen: argparse.Namespace) -> None:
    from quixstreams import Application

    predict = predictor(chosen.model, chosen.threads)
    classes = json.loads((chosen.model / "about.json").read_text())["classes"]
    app = Application(
        broker_address=chosen.broker, consumer_group=chosen.group, auto_offset_reset="earliest", loglevel="ERROR"
    )

    def answer(payload: bytes) -> dict[str, Any]:
        shares = predict([payload])[0]
        best = int(shares.argmax())
        return {
            "prediction": classes[best],
            "confidence": float(shares[best]),
            "probabilities": dict(zip(classes, shares.tolist(), strict=True)),
        }

    source = app.topic(chosen.source, value_deserializer="bytes", key_deserializer="bytes")
    target = app.topic(chosen.target, value_serializer="json", key_serializer="bytes")
    app.dataframe(source).apply(answer).to_topic(target)
    app.run()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("broker")
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--group", required=True)
    chosen = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=work, args=(chosen,)) for _ in range(chosen.processes)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    main()
