"""Quix Streams as its documentation has it: a topic of images to a topic of predictions, one message after the other.

python quix.py MODEL HOST:PORT FROM TO --images N --processes 2 --threads 1 --group NAME

Runs that many instances of the application in one consumer group.
"""

from __future__ import annotations

import argparse
import multiprocessing
from pathlib import Path
from typing import Any

from answering import DEAD_LETTERS, answering


def work(chosen: argparse.Namespace) -> None:
    from quixstreams import Application

    answer = answering(str(chosen.model), chosen.threads)
    app = Application(
        broker_address=chosen.broker, consumer_group=chosen.group, auto_offset_reset="earliest", loglevel="ERROR"
    )

    source = app.topic(chosen.source, value_deserializer="bytes", key_deserializer="bytes")
    target = app.topic(chosen.target, value_serializer="json", key_serializer="bytes")
    bad = app.topic(chosen.target + DEAD_LETTERS, value_serializer="json", key_serializer="bytes")

    def choose(answered: dict[str, Any], *_: Any) -> Any:
        return bad if "reason" in answered else target

    app.dataframe(source).apply(lambda payload: answer([payload])[0]).to_topic(choose)
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
