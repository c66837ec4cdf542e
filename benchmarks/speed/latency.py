"""Latency in seconds from sending an image until its result can be read, by contender and rate.

A contender is started once per round and runs at one rate after the other. Its idle load is measured before the last
rate, when it is warm.
"""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench import Bench, ContenderError, interleaved, sparkdl, spread, started
from process_usage import memory_by_kind, processor_time
from routes import PARTITIONS, DirectoryRoute, TopicRoute, opened
from sending import QUANTILES, Phase, Route, quantiles, send_at, wait_for
from throughput import BROKER, leaving_out

STREAM, REALTIME = "stream", "stream, realtime"
DIRECTORY_RATES = (1, 10, 50)
_START = 120  # seconds until the first results
_PATIENCE = 30  # seconds for results after the last image of a rate
_GAP = 1  # seconds before the next rate
_IDLE, _IDLE_AFTER = 15, 2  # seconds of the idle measurement, and seconds without a message before it


@dataclass(frozen=True)
class Served:
    """One run of a contender.

    Attributes
    ----------
    phases
        By rate; rates after one that it could not sustain are absent.
    cores
        Cores that all of its processes used while images were sent and results were pending, by rate.
    sender_cores
        The same for the measuring process.
    idle
        Cores that it used without messages; None if it was never idle.
    memory
        Proportional set size (PSS), bytes by kind of process, when the sum after a rate was highest.
    """

    phases: Mapping[int, Phase]
    cores: Mapping[int, float]
    sender_cores: Mapping[int, float]
    idle: float | None
    memory: Mapping[str, int]


def latency(bench: Bench, rounds: int, images: int, warm_up: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure a topic to a topic by each contender, and a directory to Parquet."""
    from streaming.kafka.local.broker import Broker

    sending, payloads = bench.sending, bench.sources()
    registry, exported = bench.model(), bench.export(bench.model())
    left_out: dict[str, str] = {}
    with Broker(BROKER).running(port=0) as broker:

        def topics(command: Callable[[TopicRoute, Path], list[str]]) -> Served:
            route, place = TopicRoute(broker, payloads), bench.place()
            with opened(route), serving(command(route, place), place) as process:
                return serve(bench, route, process, sending.rates)

        def alone() -> Served:
            with opened(TopicRoute(broker, payloads, loop_back=True)) as route:
                return serve(bench, route, None, sending.rates)

        def files() -> Served:
            place = bench.place()
            route = DirectoryRoute(place, payloads)
            command = stream_command(bench, registry, str(route.source), f"parquet:{route.target}", place)
            with opened(route), serving(command, place) as process:
                return serve(bench, route, process, [rate for rate in DIRECTORY_RATES if rate in sending.rates])

        contenders: dict[str, Callable[[], Served]] = {"broker alone": alone, "directory to Parquet, stream": files}
        for name, command in commands(bench, broker, registry, exported).items():
            contenders[name] = partial(topics, command)
        if unknown := set(sending.contenders) - contenders.keys():
            sys.exit(f"no contender {sorted(unknown)}: expected some of {list(contenders)}")
        chosen = {name: run for name, run in contenders.items() if name in (sending.contenders or contenders)}
        say(f"  about {_minutes(chosen, rounds, sending.rates, sending.warm_up + sending.seconds):.0f} minutes")
        found = interleaved(chosen, rounds, _telling(say), leaving_out(say, left_out), lambda name: name == STREAM)
    return {
        "seconds": sending.seconds,
        "warm_up": sending.warm_up,
        "conf": list(sending.conf),
        "left_out": left_out,
        "contenders": {name: summary(runs) for name, runs in found.items()},
    }


def commands(
    bench: Bench, broker: str, registry: Path, exported: Path
) -> dict[str, Callable[[TopicRoute, Path], list[str]]]:
    """Return the command of each contender from topic to topic."""

    def stream(trigger: str) -> Callable[[TopicRoute, Path], list[str]]:
        return lambda route, place: stream_command(
            bench, registry, f"kafka://{broker}/{route.source}", f"kafka://{broker}/{route.target}", place, trigger
        )

    def spark(*more: str) -> Callable[[TopicRoute, Path], list[str]]:
        command = bench.contender("plain_stream.py")
        return lambda route, place: [
            *command, broker, route.source, route.target, str(place / "checkpoint"), *more
        ]  # fmt: skip

    found = {
        STREAM: stream("0s"),
        REALTIME: stream("realtime"),
        "kafka-python loop": lambda route, place: [
            *bench.contender("hand_written_relay.py"), str(exported), broker, route.source, route.target
        ],
        "Spark's defaults, with the model": spark("--model", str(exported)),
        "Spark's defaults, without a model": spark(),
    }  # fmt: skip
    if bench.python is not None:
        found["Quix Streams"] = lambda route, place: [
            *bench.other("quix.py"), str(exported), broker, route.source, route.target, "--group", uuid.uuid4().hex
        ]  # fmt: skip
    return found


def stream_command(
    bench: Bench, registry: Path, source: str, sink: str, place: Path, trigger: str = "0s", *more: str
) -> list[str]:
    conf = [word for setting in bench.sending.conf for word in ("--conf", setting)]
    return sparkdl("stream", "--source", source, "--sink", sink, "--model", str(registry), "--checkpoint",
                   str(place / "checkpoint"), "--trigger", trigger, *conf, *more)  # fmt: skip


@dataclass(frozen=True)
class Process:
    """A running contender."""

    popen: subprocess.Popen[str]
    log: Path

    @property
    def pid(self) -> int:
        return self.popen.pid

    def check(self) -> None:
        """Raise `ContenderError` if it has ended."""
        if (code := self.popen.poll()) is not None:
            raise ContenderError(f"ended with {code}", self.log.read_text())


@contextmanager
def serving(command: Sequence[str], place: Path) -> Iterator[Process]:
    """Run a contender until the end of the block."""
    with started(command, place) as popen:
        yield Process(popen, place / "log")


def first_results(route: Route, process: Process | None) -> int:
    """Send an image to each partition, wait for the results, and return the number of the next image.

    Raises
    ------
    ContenderError
        If there are none.
    """
    for number in range(PARTITIONS):
        route.send(number)
    if not wait_for(route, PARTITIONS, _START, process.check if process else lambda: None):
        raise ContenderError(f"no results in {_START} s", process.log.read_text() if process else "")
    return PARTITIONS


def serve(bench: Bench, route: Route, process: Process | None, rates: Sequence[int]) -> Served:
    """Run a started contender at all rates; None means no contender."""
    sending = bench.sending
    check = process.check if process else lambda: None
    phases: dict[int, Phase] = {}
    cores: dict[int, float] = {}
    sender_cores: dict[int, float] = {}
    idle, memory = None, dict[str, int]()
    number = first_results(route, process)
    for rate in rates:
        if process and rate == rates[-1]:
            idle = idle_cores(process)
        before, began, mine = processor_time(process.pid) if process else 0.0, time.monotonic(), time.process_time()
        phases[rate] = send_at(route, number, rate, sending.seconds, sending.warm_up, _PATIENCE, check)
        took = time.monotonic() - began
        sender_cores[rate] = (time.process_time() - mine) / took
        if process:
            cores[rate] = (processor_time(process.pid) - before) / took
            memory = max(memory, memory_by_kind(process.pid), key=lambda kinds: sum(kinds.values()))
        number = phases[rate].ended
        if phases[rate].missing:
            break
        time.sleep(_GAP)
    return Served(phases, cores, sender_cores, idle, memory)


def idle_cores(process: Process) -> float:
    """Return how many cores a contender uses without messages."""
    time.sleep(_IDLE_AFTER)
    before, began = processor_time(process.pid), time.monotonic()
    time.sleep(_IDLE)
    process.check()
    return (processor_time(process.pid) - before) / (time.monotonic() - began)


def summary(runs: Sequence[Served]) -> dict[str, Any]:
    """Return [median, minimum, maximum] of each figure over the runs."""
    rates = {}
    for rate in sorted({rate for run in runs for rate in run.phases}):
        phases = [run.phases[rate] for run in runs if rate in run.phases]
        of_each = [quantiles(phase.seconds) for phase in phases]
        rates[str(rate)] = {
            **{name: spread(of_one[name] for of_one in of_each) for name in QUANTILES if name != "p99.9"},
            "images": len(phases[0].seconds),
            "missing": max(phase.missing for phase in phases),
            "late": max(phase.late for phase in phases),
            "cores": spread(run.cores.get(rate, 0.0) for run in runs if rate in run.phases),
            "sender_cores": spread(run.sender_cores[rate] for run in runs if rate in run.phases),
        }
    idle = [run.idle for run in runs if run.idle is not None]
    return {
        "rates": rates,
        **({"idle_cores": spread(idle)} if idle else {}),
        **({"peak_mib": spread(sum(run.memory.values()) / 2**20 for run in runs)} if runs[0].memory else {}),
    }


def _telling(say: Callable[[str], None]) -> Callable[[int, str, Served], None]:
    def tell(number: int, name: str, run: Served) -> None:
        for rate, phase in run.phases.items():
            found = ", ".join(f"{what} {value:.3f}" for what, value in quantiles(phase.seconds).items())
            rest = (
                f"{run.cores.get(rate, 0):.2f} cores, sender {run.sender_cores[rate]:.2f} and {phase.late:.3f} s late"
            )
            say(f"  {number}, {name}, {rate} a second: {found}; {phase.missing} missing; {rest}")
        idle = "" if run.idle is None else f"idle {run.idle:.3f} cores, "
        say(f"  {number}, {name}: {idle}{sum(run.memory.values()) / 2**20:.0f} MiB")

    return tell


def _minutes(contenders: Mapping[str, Any], rounds: int, rates: Sequence[int], seconds: float) -> float:
    """Return the approximate total duration."""
    start = 15
    of_directory = sum("directory" in name for name in contenders) * len([r for r in DIRECTORY_RATES if r in rates])
    of_topics = sum("directory" not in name for name in contenders) * len(rates)
    sent = (of_directory + of_topics) * (seconds + _GAP)
    return rounds * (len(contenders) * (start + _IDLE_AFTER + _IDLE) + sent) / 60
