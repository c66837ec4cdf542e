"""The loop of `hand_written.py` on a Kafka topic, with kafka-python (and its `crc32c`): topic to Parquet.

python hand_written_kafka.py MODEL HOST:PORT/TOPIC OUT --processes 2 --threads 1 --warm-up N

Process n reads partition n to its end and commits its offset with each file. Prints the lines of `hand_written.py`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
import uuid
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from hand_written import BATCH, Writer, predictor


def work(number: int, chosen: argparse.Namespace, group: str, done: Any, barrier: Barrier) -> None:
    from kafka import KafkaConsumer, TopicPartition

    predict = predictor(chosen.model, chosen.threads)
    writer = Writer(chosen.out, f"part-{number}", json.loads((chosen.model / "about.json").read_text())["classes"])
    servers, _, topic = chosen.topic.partition("/")
    consumer = KafkaConsumer(
        bootstrap_servers=servers,
        group_id=group,
        enable_auto_commit=False,
        max_poll_records=BATCH,
        max_partition_fetch_bytes=8 << 20,
    )
    partition = TopicPartition(topic, number)
    consumer.assign([partition])
    consumer.seek_to_beginning(partition)
    end = consumer.end_offsets([partition])[partition]
    warm, had = chosen.warm_up // chosen.processes, 0
    while had < end:
        records = [record for part in consumer.poll(1000).values() for record in part]
        if not records:
            continue
        written = writer.files
        ids = [f"{record.topic}/{record.partition}/{record.offset}" for record in records]
        writer.add(ids, predict([record.value for record in records]))
        if writer.files != written:
            consumer.commit()
        with done.get_lock():
            done.value += len(records)
        if had < warm <= had + len(records):
            barrier.wait()
        had += len(records)
    writer.flush()
    consumer.commit()
    consumer.close(autocommit=False)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("topic")
    parser.add_argument("out", type=Path)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--warm-up", type=int, default=0)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True)
    context = multiprocessing.get_context("spawn")
    barrier, done = context.Barrier(chosen.processes + 1), context.Value("q", 0)
    group = uuid.uuid4().hex
    workers = [
        context.Process(target=work, args=(n, chosen, group, done, barrier), daemon=True)
        for n in range(chosen.processes)
    ]
    for worker in workers:
        worker.start()
    barrier.wait()
    print(time.monotonic(), done.value, flush=True)
    for worker in workers:
        worker.join()
        if worker.exitcode:
            sys.exit(1)
    print(time.monotonic(), done.value, flush=True)


if __name__ == "__main__":
    main()
