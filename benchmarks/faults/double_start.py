"""Fault test: repeatedly starts two streams on one checkpoint at the same moment, and counts the results.

python benchmarks/faults/double_start.py [--starts N] [--kills N] [--images N] [--sink parquet|delta] [--seed N]

In each of the `starts`, two `sparkdl stream` begin within a tenth of a second. One must be refused with exit code 2 and
one line that names the other; the other must end as if it were alone. In each of the `kills`, one of the two is also
killed by SIGKILL, either its driver only or all its processes; the stream and the moment are random. If no stream is
left, another one is started as soon as the lock is free, as a supervisor would do. Images arrive before each start,
3 in 100 of them broken. Exit code 0 if every image is in the sink exactly once, each second stream was refused as
expected, and the lock was free within a second of each kill.
"""

from __future__ import annotations

import argparse
import copy
import random
import re
import signal
import statistics
import sys
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from harness import (
    WORK,
    SinkKind,
    Trial,
    drawn_images,
    drop,
    expected_of,
    faults,
    processes_of,
    trained_models,
    verdict,
)

from sparkdl.errors import RequestError
from streaming.checkpoint.lock import CheckpointLock

_FLAGS = ("--trigger", "0s", "--max-images-per-trigger", "10", "--stable-after", "0s", "--available-now")
_REFUSED = re.compile(
    r"sparkdl: checkpoint \S+ is in use by another stream \(process \d+ on \S+, since \S+\): stop .*\n"
)
_LONGEST = 1.0  # seconds after SIGKILL within which the lock must be free
_EARLY, _BEGINNING = 0.3, 2.0  # share of the kills in the first seconds, before it is decided which stream is refused
_PATIENCE = 240.0  # seconds for a stream to end


@dataclass
class Facts:
    """Observations during the run, and deviations from what is expected."""

    refused_after: list[float] = field(default_factory=list)
    free_after: list[float] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def summary(self) -> dict[str, object]:
        found: dict[str, object] = dict(self.seen)
        if self.refused_after:
            found["refused after, s, median and longest"] = _figures(self.refused_after)
        if self.free_after:
            found["lock free after SIGKILL, s, median and longest"] = _figures(self.free_after)
        return found


def _figures(seconds: list[float]) -> list[float]:
    return [round(statistics.median(seconds), 3), round(max(seconds), 3)]


class Pair:
    """Two streams on one checkpoint, with separate logs.

    Parameters
    ----------
    trial
        The directories that they read and write.
    facts
        Receives the observations.
    """

    def __init__(self, trial: Trial, facts: Facts) -> None:
        self.facts, self.trials = facts, [copy.copy(trial) for _ in range(2)]
        for name, of in zip("ab", self.trials, strict=True):
            of.log = trial.root / f"log-{name}"
            of.log.unlink(missing_ok=True)

    def run(self, chance: random.Random, kill_after: float | None) -> float:
        """Start both, kill one if requested, and wait until none runs; return the duration in seconds."""
        began = time.monotonic()
        with ExitStack() as streams:
            running = []
            for of in self.trials:
                running.append(streams.enter_context(of.stream(*_FLAGS)))
                time.sleep(chance.uniform(0, 0.1))
            victim, refused_at = None, None
            while any(process.poll() is None for process in running):
                if refused_at is None and any(process.poll() == 2 for process in running):
                    refused_at = time.monotonic()
                    self.facts.refused_after.append(refused_at - began)
                if kill_after is not None and victim is None and time.monotonic() - began > kill_after:
                    alive = [process for process in running if process.poll() is None]
                    victim = chance.choice(alive)
                    self._kill(victim.pid, whole=chance.random() < 0.5)
                    victim.wait()
                    self.facts.seen["killed before one was refused"] += refused_at is None
                    if all(process.poll() is not None for process in running):
                        self.facts.free_after.append(_seconds_until_free(self.trials[0]))
                if time.monotonic() - began > _PATIENCE:
                    self.facts.wrong.append(f"not ended after {_PATIENCE:.0f} s")
                    break
                time.sleep(0.01)
            codes = [process.poll() for process in running]
            # The orphans of a driver that was killed alone keep running while the next one starts.
            if 0 not in codes:
                self.facts.seen["started again after a kill"] += 1
                third = copy.copy(self.trials[0])
                third.log = third.root / "log-c"
                code = third.run(*_FLAGS)
                if code != 0:
                    self.facts.wrong.append(f"the third ended with {code}: {third.tail(2)}")
        self._judge(codes, None if victim is None else running.index(victim))
        return time.monotonic() - began

    def _kill(self, driver: int, *, whole: bool) -> None:
        self.facts.seen["all processes killed" if whole else "driver alone killed"] += 1
        for process in processes_of(driver) if whole else processes_of(driver)[:1]:
            with suppress(Exception):
                process.kill()

    def _judge(self, codes: list[int | None], victim: int | None) -> None:
        for number, (code, of) in enumerate(zip(codes, self.trials, strict=True)):
            said = of.log.read_text()
            if code == 2 and _REFUSED.fullmatch(said):
                self.facts.seen["refused"] += 1
            elif code == 0:
                self.facts.seen["ended by itself"] += 1
            elif code != -signal.SIGKILL or number != victim:
                self.facts.wrong.append(f"exit code {code}, which said: {said[-500:]}")
        if victim is None and sorted(codes, key=str) != [0, 2]:
            self.facts.wrong.append(f"expected one to be refused, found exit codes {codes}")


def _seconds_until_free(trial: Trial) -> float:
    killed = time.monotonic()
    if not CheckpointLock.is_known(trial.checkpoint):
        return 0.0  # killed before it had the lock
    while True:
        with suppress(RequestError):
            CheckpointLock.acquire(trial.checkpoint).release()
            return time.monotonic() - killed
        if time.monotonic() - killed > 60:
            raise SystemExit("the lock is not free a minute after SIGKILL")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--images", type=int, default=40, help="images before each start")
    parser.add_argument("--sink", choices=tuple(SinkKind), default=SinkKind.PARQUET)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    chance = random.Random(chosen.seed)
    trial = Trial(WORK / f"double-start-{chosen.sink}-{chosen.seed}", trained_models(), SinkKind(chosen.sink))
    rounds = chosen.starts + chosen.kills
    images = drawn_images(rounds * chosen.images, seed=chosen.seed)
    chance.shuffle(images)
    facts, began, usual = Facts(), time.monotonic(), 15.0
    for number in range(rounds):
        drop(images[number * chosen.images : (number + 1) * chosen.images], trial.watched)
        if number < chosen.starts:
            usual = Pair(trial, facts).run(chance, None)
        else:
            Pair(trial, facts).run(chance, chance.uniform(0, _BEGINNING if chance.random() < _EARLY else usual))
        if facts.wrong or faults(trial, expected_of(images[: (number + 1) * chosen.images])):
            print(f"after round {number + 1}:", *facts.wrong, sep="\n  ")
            break
    facts.seen["double starts"], facts.seen["with a kill"] = chosen.starts, chosen.kills
    slow = [seconds for seconds in facts.free_after if seconds > _LONGEST]
    summary = {**facts.summary(), "seconds": round(time.monotonic() - began)}
    code = verdict("double start", trial, expected_of(images), summary)
    return code or int(bool(facts.wrong or slow))


if __name__ == "__main__":
    sys.exit(main())
