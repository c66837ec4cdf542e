"""Images per second in the steady state, of the stream and its alternatives."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from bench import WORK, Bench, ContenderError, interleaved, running, spread, stream, timed
from process_usage import Measured

BROKER = WORK / "kafka"
_LAST_MESSAGE = 5000  # milliseconds without another message


def to_stream(registry: Path, source: str, sink: str, place: Path) -> list[str]:
    """Return the arguments with which `sparkdl stream` processes all input and ends."""
    return ["--source", source, "--model", str(registry), "--sink", sink, "--checkpoint", str(place / "checkpoint"),
            "--available-now"]  # fmt: skip


def directory(bench: Bench, rounds: int, images: int, warm_up: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure a directory of images to Parquet; inherently slow contenders get an eighth of the images."""
    registry, small = bench.model(), bench.model("digits", "precision=int8")
    exported = bench.export(registry)
    watched, eighth, few = bench.images(images), bench.images(images // 8), bench.images(24)
    weights = bench.home.parent / "weights" / "inception_v3_notop.h5" if bench.home else Path("imagenet")
    answers: dict[str, Path] = {}

    def streamed(name: str, registry: Path) -> Measured:
        place = bench.place()
        answers[name] = place / "sink" / "predictions"
        return stream(to_stream(registry, str(watched), f"parquet:{place / 'sink'}", place), place, warm_up)

    def by(name: str, command: list[str], *arguments: str, of: Path = watched) -> Measured:
        place = bench.place()
        answers[name] = place / "out"
        warm = warm_up if of == watched else warm_up // 8
        return timed([*command, str(exported), str(of), str(place / "out"), *arguments], place, warm)

    warm = ["--warm-up", str(warm_up)]
    less = ["--warm-up", str(warm_up // 8)]
    loop = bench.contender("hand_written.py")
    contenders: dict[str, Callable[[], Measured]] = {
        "stream": lambda: streamed("stream", registry),
        "stream, INT8": lambda: streamed("stream, INT8", small),
        "loop, 2 processes": lambda: by("loop, 2 processes", loop, "--processes", "2", "--threads", "1", *warm),
        "loop, 1 process": lambda: by("loop, 1 process", loop, *warm),
        "TensorFlow loop": lambda: by("TensorFlow loop", bench.contender("tensorflow_loop.py"), *less, of=eighth),
        "Spark's recipe": lambda: by("Spark's recipe", bench.contender("spark_recipe.py"), of=eighth),
        "original's recipe": lambda: timed(
            [*bench.contender("original.py"), str(weights), str(few), str(bench.place() / "out"), "--warm-up", "4"],
            bench.place(),
            4,
        ),
    }
    if bench.python is not None:
        contenders["Ray Data"] = lambda: by("Ray Data", bench.other("ray_data.py"), *warm)
    left_out: dict[str, str] = {}
    found = interleaved(contenders, rounds, telling(say), leaving_out(say, left_out))
    ours = answers_of(answers["stream"])
    agreement = {name: agreement_of(ours, answers_of(path)) for name, path in answers.items() if name in found}
    return {"images": images, "agreement": agreement, "left_out": left_out, **rates(found)}


def kafka(bench: Bench, rounds: int, images: int, warm_up: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure a topic of images to Parquet, and to another topic."""
    from streaming.kafka.local.broker import Broker

    registry = bench.model()
    exported = bench.export(registry)
    with Broker(BROKER).running(port=0) as broker:
        topic = fill(broker, bench.images(images))
        answers: dict[str, Callable[[], dict[str, str]]] = {}

        def to_parquet() -> Measured:
            place = bench.place()
            answers["stream to Parquet"] = lambda: answers_of(place / "sink" / "predictions")
            return streamed(f"parquet:{place / 'sink'}", place)

        def to_kafka() -> Measured:
            target = f"out-{uuid.uuid4().hex[:8]}"
            answers["stream to Kafka"] = lambda: answers_on(broker, target)
            return streamed(f"kafka://{broker}/{target}", bench.place())

        def streamed(sink: str, place: Path) -> Measured:
            return stream(to_stream(registry, f"kafka://{broker}/{topic}", sink, place), place, warm_up)

        def twin() -> Measured:
            place = bench.place()
            answers["kafka-python loop to Parquet"] = lambda: answers_of(place / "out")
            command = [*bench.contender("hand_written_kafka.py"), str(exported), f"{broker}/{topic}"]
            shape = ["--processes", "2", "--threads", "1", "--warm-up", str(warm_up)]
            return timed([*command, str(place / "out"), *shape], place, warm_up)

        contenders: dict[str, Callable[[], Measured]] = {
            "stream to Parquet": to_parquet,
            "kafka-python loop to Parquet": twin,
            "stream to Kafka": to_kafka,
        }
        if bench.python is not None:

            def others() -> Measured:
                target = make_topic(broker, 2)
                answers["Quix Streams"] = lambda: _by_place(topic, answers_on(broker, target))
                return quix(bench, exported, broker, topic, target, images, warm_up)

            contenders["Quix Streams"] = others
        left_out: dict[str, str] = {}
        found = interleaved(contenders, rounds, telling(say), leaving_out(say, left_out))
        ours = answers["stream to Parquet"]()
        agreement = {name: agreement_of(ours, theirs()) for name, theirs in answers.items() if name in found}
    return {"images": images, "agreement": agreement, "left_out": left_out, **rates(found)}


def quix(bench: Bench, exported: Path, broker: str, source: str, target: str, images: int, warm_up: int) -> Measured:
    """Run Quix Streams; the topic that it writes to shows its progress."""
    from kafka import KafkaConsumer, TopicPartition

    partitions = [TopicPartition(target, number) for number in range(2)]
    consumer = KafkaConsumer(bootstrap_servers=broker)
    progress, deadline = [(0.0, 0)], time.monotonic() + 600
    command = [*bench.other("quix.py"), str(exported), broker, source, target, "--group", uuid.uuid4().hex]
    place = bench.place()
    with running(command, place) as (process, watch):
        while progress[-1][1] < images:
            if process.poll() is not None or time.monotonic() > deadline:
                raise ContenderError("Quix Streams ended before it was done", (place / "log").read_text())
            time.sleep(0.1)
            progress.append((time.time(), sum(consumer.end_offsets(partitions).values())))
    consumer.close()
    return watch.measured(progress, warm_up)


def make_topic(broker: str, partitions: int) -> str:
    from kafka import KafkaAdminClient

    name = f"speed-{uuid.uuid4().hex[:8]}"
    client = KafkaAdminClient(bootstrap_servers=broker)
    client.create_topics({name: {"num_partitions": partitions, "replication_factor": 1}}, wait_for_metadata=True)
    client.close()
    return name


def fill(broker: str, images: Path, partitions: int = 2) -> str:
    """Return a topic with all files of a directory, distributed over its partitions; each key is a file name."""
    from kafka import KafkaProducer

    topic = make_topic(broker, partitions)
    producer = KafkaProducer(bootstrap_servers=broker, acks="all", linger_ms=20, batch_size=1 << 20)
    for number, path in enumerate(sorted(images.iterdir())):
        producer.send(topic, path.read_bytes(), path.name.encode(), partition=number % partitions)
    producer.flush(120)
    producer.close()
    return topic


def telling(say: Callable[[str], None]) -> Callable[[int, str, Measured], None]:
    def tell(number: int, name: str, measured: Measured) -> None:
        say(f"  {number}, {name}: {measured.rate:.1f} a second, {measured.peak / 2**20:.0f} MiB")

    return tell


def leaving_out(say: Callable[[str], None], left_out: dict[str, str]) -> Callable[[str, str], None]:
    """Return a function that prints and records which contender failed, and why."""

    def leave_out(name: str, reason: str) -> None:
        left_out[name] = reason
        say(f"  left out, {name}: {reason}")

    return leave_out


def rates(found: Mapping[str, list[Measured]]) -> dict[str, Any]:
    """Return rates, memory, costs, and the ratio of each stream's rate to each other contender's, round by round."""
    return {
        "costs_ms": {
            name: {kind: spread(run.costs.get(kind, 0) for run in runs) for kind in runs[0].costs}
            for name, runs in found.items()
        },
        "memory_mib": {
            name: {kind: spread(run.memory.get(kind, 0) / 2**20 for run in runs) for kind in runs[0].memory}
            for name, runs in found.items()
        },
        "rate": {name: spread(run.rate for run in runs) for name, runs in found.items()},
        "peak_mib": {name: spread(run.peak / 2**20 for run in runs) for name, runs in found.items()},
        "ratio": {
            base: {
                name: spread(mine.rate / other.rate for mine, other in zip(found[base], runs, strict=True))
                for name, runs in found.items()
                if name != base
            }
            for base in found
            if base.startswith("stream")
        },
    }


def answers_of(path: Path) -> dict[str, str]:
    """Return the prediction of each image, by its `id`, or by its name if there is a `path`."""
    table = pq.ParquetDataset(path).read()
    if "id" in table.column_names:
        names = table["id"].to_pylist()
    else:
        names = [path.rsplit("/", 1)[-1] for path in table["path"].to_pylist()]
    return {name: str(answer) for name, answer in zip(names, table["prediction"].to_pylist(), strict=True)}


def answers_on(broker: str, topic: str) -> dict[str, str]:
    """Return the prediction of each image on a topic, by the key of its message."""
    from kafka import KafkaConsumer

    consumer = KafkaConsumer(
        topic, bootstrap_servers=broker, auto_offset_reset="earliest", consumer_timeout_ms=_LAST_MESSAGE
    )
    answers = {record.key.decode(): str(json.loads(record.value)["prediction"]) for record in consumer}
    consumer.close()
    return answers


def _by_place(topic: str, answers: Mapping[str, str], partitions: int = 2) -> dict[str, str]:
    """Return results by `topic/partition/offset`, from results by file name, in the distribution of `fill`."""
    numbers = {name: int(name.partition(".")[0]) for name in answers}
    return {f"{topic}/{n % partitions}/{n // partitions}": answers[name] for name, n in numbers.items()}


def agreement_of(ours: Mapping[str, str], theirs: Mapping[str, str]) -> float:
    """Return the share of the other's images with the same prediction; a prediction may be the index of a class."""
    return sum(ours[name] == theirs[name].removesuffix(".0") for name in theirs) / len(theirs)
