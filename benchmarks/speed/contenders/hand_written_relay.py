"""A low-latency loop as a good engineer writes it by hand: topic to topic, with kafka-python (and its `crc32c`).

python hand_written_relay.py MODEL HOST:PORT FROM TO --processes 2 --threads 1

Process n reads partition n. It classifies images as soon as they are fetched, at most `CHUNK` at a time, and sends each
result at once (`linger_ms=0`). Once a second it waits until its results are written and commits its offset: at least
once. Runs until it is killed.
"""

from __future__ import annotations

import argparse
import json
import time

from answering import DEAD_LETTERS, answering, run_processes
from hand_written import CHUNK

_COMMIT = 1.0  # seconds between two commits


def work(number: int, chosen: argparse.Namespace) -> None:
    from kafka import KafkaConsumer, KafkaProducer, TopicPartition

    answer = answering(str(chosen.model), chosen.threads)
    consumer = KafkaConsumer(
        bootstrap_servers=chosen.broker,
        group_id=f"{chosen.source}-relay",
        enable_auto_commit=False,
        max_poll_records=CHUNK,
        max_partition_fetch_bytes=8 << 20,
    )
    partition = TopicPartition(chosen.source, number)
    consumer.assign([partition])
    consumer.seek_to_beginning(partition)
    producer = KafkaProducer(bootstrap_servers=chosen.broker, acks="all", linger_ms=0)
    committed, pending = time.monotonic(), False
    while True:
        records = [record for part in consumer.poll(1000 * _COMMIT).values() for record in part]
        for record, found in zip(records, answer([record.value for record in records]), strict=True):
            if "reason" in found:
                headers = [("reason", found["reason"].encode())]
                producer.send(chosen.target + DEAD_LETTERS, record.value, record.key, headers)
            else:
                producer.send(chosen.target, json.dumps(found).encode(), record.key)
        pending = pending or bool(records)
        if pending and time.monotonic() - committed > _COMMIT:
            producer.flush()
            consumer.commit()
            committed, pending = time.monotonic(), False


if __name__ == "__main__":
    run_processes(work)
