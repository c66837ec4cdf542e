"""Hostile images through Spark: `python benchmarks/faults/hostile.py [--seed N] [--mutations N]`; takes minutes.

About 250 hand-made attacks (`bombs`) and the requested number of damaged images (`fuzzing`) pass through a DataFrame of
input records and `streaming.results.results` with a model trained on drawn digits. The test checks that:

- there is one result per input record: a prediction, or a dead letter with one of the reasons allowed for its attack;
- no Python worker died: on `local[N]` Spark does not retry a task, so this would be an exception;
- the sampled resident memory of a worker and its decoder together stays below `bound`.

Prints the results of each kind of attack, and the totals. Exits with 1 if a check fails.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from bombs import QUICK, SLOW, attacks, large_batch
from fuzzing import PREDICTED, Hostile, mutations
from pyspark.sql import DataFrame, SparkSession

from sparkdl.decoding.isolation.process import memory_for
from sparkdl.decoding.isolation.shared_memory import PIXEL_BYTES
from sparkdl.images.pixels import MAX_PIXELS
from sparkdl.images.rejection import Limits
from sparkdl.models.registry import ModelVersion, Registry
from sparkdl.spark.session import spark_session
from streaming.results import results
from streaming.schemas import INPUT_RECORD
from training.data.loading import open_dataset
from training.fitting.recipes import recipe
from training.train import train

MIB = 2**20
TIMEOUT = 5.0
ROW_GROUP_BYTES = 16 * MIB
PERIOD = 0.02  # seconds between samples


def bound(limits: Limits, records: int) -> int:
    """Return the maximum bytes of a worker and its decoder per batch of `records`; see docs/explanation/decoding.md."""
    programs = 400 * MIB
    # Memory that both have mapped counts twice, and the worker has a batch of payloads both as received and in Arrow.
    shared = 2 * (PIXEL_BYTES + limits.max_bytes)
    payloads = 2 * (32 * MIB + limits.max_bytes)
    return programs + memory_for(limits) + shared + payloads + 3 * MAX_PIXELS * records


class Watch:
    """Samples the memory of each worker with its decoder, and records which decoders belong to which worker."""

    def __init__(self) -> None:
        self.peak = 0
        self.decoders: defaultdict[int, set[int]] = defaultdict(set)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def restarts(self) -> int:
        return sum(len(decoders) - 1 for decoders in self.decoders.values())

    def _run(self) -> None:
        while not self._ended.wait(PERIOD):
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):  # it has ended since it was listed
                    if "sparkdl.decoding.isolation.server" in process.cmdline() and (template := process.parent()):
                        if "sparkdl.decoding.isolation.server" not in template.cmdline():
                            continue  # it is the template itself
                        worker = psutil.Process(template.ppid())
                        self.decoders[worker.pid].add(process.pid)
                        family = (process, template, worker)
                        self.peak = max(self.peak, sum(member.memory_info().rss for member in family))


def encoded(spark: SparkSession, sent: Iterable[Hostile], directory: Path) -> tuple[DataFrame, list[Hostile]]:
    """Return the attacks as rows of `INPUT_RECORD` from a Parquet file, and the attacks without their payloads."""
    at, size = datetime(2026, 1, 1, tzinfo=UTC), 0
    told: list[Hostile] = []
    rows: list[tuple[object, ...]] = []
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("origin", pa.string()),
            ("payload", pa.binary()),
            ("size", pa.int64()),
            ("label", pa.string()),
            ("produced_at", pa.timestamp("us", "UTC")),
        ]
    )
    assert schema.names == INPUT_RECORD.names
    with pq.ParquetWriter(directory / "attacks.parquet", schema, compression="NONE") as writer:
        for attack in sent:
            name = str(len(told))
            rows.append((name, f"file:/{name}", attack.payload, len(attack.payload), None, at))
            told.append(attack._replace(payload=b""))
            size += len(attack.payload)
            if size > ROW_GROUP_BYTES:
                writer.write_table(_table(rows, schema))
                rows, size = [], 0
        writer.write_table(_table(rows, schema))
    return spark.read.parquet(str(directory)), told


def _table(rows: Sequence[tuple[object, ...]], schema: pa.Schema) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )


def run(
    spark: SparkSession, model: ModelVersion, sent: Iterable[Hostile], limits: Limits
) -> tuple[list[str], list[str]]:
    """Run the attacks; return the lines of the report, and the failed checks."""
    records = int(spark.conf.get("spark.sql.execution.arrow.maxRecordsPerBatch") or 10_000)
    begun = time.monotonic()
    with TemporaryDirectory() as scratch, Watch() as watch:
        frame, told = encoded(spark, sent, Path(scratch))
        made = time.monotonic()
        rows = (
            results(frame, model.load(), model.name, 0.5, limits)
            .select("id", "prediction", "reason", "detail")
            .collect()
        )
    ended = time.monotonic()
    broken = []
    ids = Counter(int(row.id) for row in rows)
    if ids != Counter(range(len(told))):
        broken.append(f"{len(told)} rows in, {len(rows)} out, {len(ids)} of them different")
    tally: Counter[tuple[str, str]] = Counter()
    for row in rows:
        attack, outcome = told[int(row.id)], row.reason or PREDICTED
        tally[attack.kind, outcome] += 1
        if (row.prediction is None) == (row.reason is None) or outcome not in attack.expected:
            allowed = " or ".join(sorted(attack.expected))
            broken.append(f"{attack.kind}, {attack.name}: {outcome} ({row.detail}), expected {allowed}")
    most = bound(limits, records)
    if watch.peak > most:
        broken.append(f"a worker and its decoder took {watch.peak // MIB} MiB, more than {most // MIB}")
    said = [f"{kind:30} {outcome:20} {count:6}" for (kind, outcome), count in sorted(tally.items())]
    by_outcome = Counter(row.reason or PREDICTED for row in rows)
    dead = len(rows) - by_outcome[PREDICTED]
    said += [
        f"in: {len(told)}; out: {by_outcome[PREDICTED]} predictions and {dead} dead letters",
        "dead letters: " + ", ".join(f"{n} {name}" for name, n in by_outcome.most_common() if name != PREDICTED),
        f"decoders restarted: {watch.restarts}, in {len(watch.decoders)} workers; workers that died: 0",
        f"peak of a worker and its decoder: {watch.peak // MIB} MiB, bound {most // MIB} MiB",
        f"made in {made - begun:.0f} s, classified in {ended - made:.0f} s",
    ]
    return said, broken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mutations", type=int, default=1000)
    parser.add_argument(
        "--large-batch", action="store_true", help="256 white pictures of 7000 x 7000 instead of all else"
    )
    arguments = parser.parse_args()
    # Each step of the plan copies rows of 30 MB in each task; the default of 2 GB is not always enough.
    spark = spark_session("hostile", {"spark.driver.memory": "4g"})
    sent = attacks([large_batch])
    if not arguments.large_batch:
        sent = chain(attacks([*QUICK, *SLOW]), mutations(arguments.seed, arguments.mutations))
    with TemporaryDirectory() as models:
        registry = Registry(Path(models))
        train(spark, open_dataset("samples:10"), recipe("digits", ["max_iter=10", "augmentations=0"]), registry)
        model = registry.current()
        assert model is not None
        said, broken = run(spark, model, sent, Limits(timeout=TIMEOUT))
    print("\n".join(said))
    print("\n".join(f"BROKEN: {line}" for line in broken) or "no promise is broken")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
