"""The rate, memory and processor time of a running process and its descendants."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_SAMPLE = 4.0  # seconds between two samples

Progress = list[tuple[float, int]]
"""(seconds on a clock, images done by then), in order."""


Spent = Mapping[int, tuple[str, float]]
"""Processor time of running processes: kind and seconds, by process id."""


@dataclass(frozen=True)
class Measured:
    """The result of one run of a contender.

    Attributes
    ----------
    rate
        Images per second after the warm-up.
    memory
        Proportional set size (PSS), bytes by kind of process, when the sum over all processes was highest.
    costs
        Processor time per image after the warm-up, milliseconds by kind of process.
    """

    rate: float
    memory: Mapping[str, int]
    costs: Mapping[str, float] = field(default_factory=dict)

    @property
    def peak(self) -> int:
        return sum(self.memory.values())


def rate_of(progress: Progress, warm_up: int) -> float:
    """Return images per second, from the first entry after the warm-up to the last one."""
    (began, before), (ended, after) = next(entry for entry in progress if entry[1] >= warm_up), progress[-1]
    if after == before:
        raise ValueError(f"no images after the warm-up of {warm_up}: {progress}")
    return (after - before) / (ended - began)


def spent_by_kind(samples: Sequence[Spent]) -> dict[str, float]:
    """Return the processor time from the first sample to the last, seconds by kind of process.

    A process that ended in between counts up to its last sample, with its last kind.
    """
    spent: dict[str, float] = defaultdict(float)
    latest = {pid: of_one for sample in samples for pid, of_one in sample.items()}
    for pid, (kind, seconds) in latest.items():
        spent[kind] += seconds - samples[0].get(pid, ("", 0.0))[1]
    return dict(spent)


def processor_time(pid: int) -> float:
    """Return the processor time of a process and its descendants in seconds, including those that have ended."""
    total = 0.0
    for process in family(pid):
        with suppress(psutil.Error):  # ended since it was listed
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def memory_by_kind(pid: int) -> dict[str, int]:
    """Return the proportional set size (PSS) of a process and its descendants, bytes by kind of process."""
    memory: dict[str, int] = defaultdict(int)
    for process in family(pid):
        with suppress(psutil.Error):
            memory[_kind(process)] += process.memory_full_info().pss
    return dict(memory)


def family(pid: int) -> list[psutil.Process]:
    """Return a process and its descendants; none if it has ended."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


class Watch:
    """Samples the memory (PSS) and processor time of a process and its descendants until `stop` is called."""

    def __init__(self, pid: int) -> None:
        self._memory: dict[str, int] = {}  # bytes by kind of process, at the highest sum
        self._spent: list[tuple[float, Spent]] = []  # time, and the processor time spent so far
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def measured(self, progress: Progress, warm_up: int) -> Measured:
        """Return the result of a run whose progress uses the clock of `time.time`."""
        rate = rate_of(progress, warm_up)
        began = next(at for at, done in progress if done >= warm_up)
        inside = [spent for spent in self._spent if began <= spent[0] <= progress[-1][0]]
        if len(inside) < 2:
            return Measured(rate, self._memory)
        images = rate * (inside[-1][0] - inside[0][0])
        spent = spent_by_kind([sample for _, sample in inside])
        return Measured(rate, self._memory, {kind: 1000 * seconds / images for kind, seconds in spent.items()})

    def _watch(self) -> None:
        while not self._over.wait(_SAMPLE):
            spent: dict[int, tuple[str, float]] = {}
            for process in family(self._pid):
                with suppress(psutil.Error):
                    spent[process.pid] = _kind(process), sum(process.cpu_times()[:2])
            if spent:
                self._spent.append((time.time(), spent))
                self._memory = max(self._memory, memory_by_kind(self._pid), key=lambda kinds: sum(kinds.values()))


_KINDS = {
    "console.main": "driver's Python",
    "pyspark.daemon": "Python workers",
    "sparkdl.spark.worker_daemon": "Python workers",
    "pyspark.sql.streaming.python_streaming_source_runner": "planner of a directory",
    "sparkdl.decoding.isolation.server": "decoders",
}
"""A word in the command of a process, and the kind of the process."""

_RAY = ("raylet", "gcs_server")
"""Ray's programs; its workers, which the raylet starts, have a title that begins with `ray::`."""


def _kind(process: psutil.Process) -> str:
    if process.name() == "java":
        return "JVM"
    words = process.cmdline()
    if words and (words[0].startswith("ray::") or Path(words[0]).name in _RAY):
        return "Ray's processes"
    return next((kind for sign, kind in _KINDS.items() if sign in words), "other Python")
