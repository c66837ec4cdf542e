"""The same stream on Spark's standalone master with one and with two workers of one core, and on `local-cluster`."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyspark
from bench import Bench, running, spread, stream
from process_usage import Measured
from throughput import to_stream

_PATIENCE = 60


def machines(bench: Bench, rounds: int, images: int, warm_up: int, say: Callable[[str], None]) -> dict[str, Any]:
    registry, watched, warm_up = bench.model(), bench.images(images // 2), 3 * warm_up // 4
    rates: dict[str, list[float]] = {}

    def measure(master: str, *conf: str) -> Measured:
        place = bench.place()
        command = to_stream(registry, str(watched), f"parquet:{place / 'sink'}", place)
        settings = [f"spark.master={master}", "spark.executor.memory=1g", *conf]
        return stream([*command, *[word for setting in settings for word in ("--conf", setting)]], place, warm_up)

    for _ in range(rounds):
        for workers in (1, 2):
            name = f"standalone, {workers} worker{'s' * (workers > 1)} of one core"
            with standalone(bench, workers) as master:
                rates.setdefault(name, []).append(measure(master).rate)
            say(f"  {name}: {rates[name][-1]:.1f} a second")
        rates.setdefault("local-cluster[2,1,1024]", []).append(measure("local-cluster[2,1,1024]").rate)
        rates.setdefault("local[2]", []).append(measure("local[2,4]").rate)
        say(f"  { ({name: round(values[-1], 1) for name, values in rates.items()}) }")
    one, two = rates["standalone, 1 worker of one core"], rates["standalone, 2 workers of one core"]
    return {
        "rate": {name: spread(values) for name, values in rates.items()},
        "2 workers over 1": spread(b / a for a, b in zip(one, two, strict=True)),
    }


@contextmanager
def standalone(bench: Bench, workers: int) -> Iterator[str]:
    """Run a master with `workers` workers of one core on this machine; yield its address."""
    with ExitStack() as stack:
        place = bench.place()
        address = stack.enter_context(_daemon("master.Master", place, ["--host", "127.0.0.1", "--port", "0"]))
        for number in range(workers):
            directory = place / str(number)
            directory.mkdir()
            options = ["--host", "127.0.0.1", "--cores", "1", "--memory", "2g", "--work-dir", str(directory), address]
            stack.enter_context(_daemon("worker.Worker", directory, options))
        yield address


@contextmanager
def _daemon(name: str, place: Path, options: list[str]) -> Iterator[str]:
    """Run a daemon of Spark; yield the master's address from its log."""
    spark_class = Path(pyspark.__path__[0]) / "bin" / "spark-class"
    wanted = r"Starting Spark master at (\S+)" if "Master" in name else r"Successfully registered with master (\S+)"
    with running([str(spark_class), f"org.apache.spark.deploy.{name}", "--webui-port", "0", *options], place):
        deadline = time.monotonic() + _PATIENCE
        while not (found := re.search(wanted, (place / "log").read_text())):
            if time.monotonic() > deadline:
                raise TimeoutError((place / "log").read_text()[-2000:])
            time.sleep(0.1)
        yield found[1]
