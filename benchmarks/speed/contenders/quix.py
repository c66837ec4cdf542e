"""Quix Streams as in its documentation: a topic of images to a topic of predictions, one message after the other.

python quix.py MODEL HOST:PORT FROM TO --images N --processes 2 --threads 1 --group NAME

Runs that many instances of the application in one consumer group.
"""

from __future__ import annotations

import argparse
from typing import Any

from answering import DEAD_LETTERS, answering, run_processes


def work(number: int, chosen: argparse.Namespace) -> None:
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


if __name__ == "__main__":
    run_processes(work, "--group")
