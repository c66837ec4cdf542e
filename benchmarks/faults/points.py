"""Fault test: kills a stream at the critical moments of its sink.

`python benchmarks/faults/points.py --kills 20 --images 400`

Each run of `sparkdl stream` is killed by SIGKILL at one of the points of `streaming.fault_injection`, in turn, the
first or the second time that it reaches the point. Then it is restarted on the same checkpoint with the next point, so
a kill can also interrupt the completion of an interrupted batch. A last run processes all input. Prints the counts for
each sink. The exit code is 0 if every image is in the sink exactly once, as a prediction or, if it is broken, as a dead
letter, and no image was there twice after any kill; otherwise it is 1.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from harness import WORK, SinkKind, Trial, drawn_images, drop, faults, trained_models, verdict

from streaming.fault_injection import VARIABLE, FaultPoint


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="for each sink")
    parser.add_argument("--images", type=int, default=400, help="for each sink; 3 in 100 are broken")
    parser.add_argument("--sink", choices=[*SinkKind], action="append", help="default: each of them")
    parser.add_argument("--first", choices=[*FaultPoint], default=FaultPoint.STAGED, help="the point to begin with")
    parser.add_argument("--models", type=Path, help="a registry; by default one is trained")
    parser.add_argument("--work", type=Path, default=WORK, help="the working directory; removed on success")
    arguments = parser.parse_args()
    models = arguments.models or trained_models(arguments.work)
    return max([kill_at_points(SinkKind(sink), models, arguments) for sink in arguments.sink or SinkKind])


def kill_at_points(sink: SinkKind, models: Path, arguments: argparse.Namespace) -> int:
    """Run the kills for one sink; return the exit code."""
    kills, images = arguments.kills, arguments.images
    points = list(FaultPoint)
    begin = points.index(arguments.first)
    trial = Trial(arguments.work / f"points-{sink}", models, sink)
    expected = drop(drawn_images(images), trial.watched)
    # A run ends in its second micro-batch at the latest, so that one is left for each kill.
    batch = ("--available-now", "--max-images-per-trigger", str(max(1, images // (2 * kills + 1))))
    done: Counter[str] = Counter()
    found = False
    started = time.monotonic()
    for number in range(kills):
        point, times = points[(begin + number) % len(points)], 1 + number // len(points) % 2
        with trial.stream(*batch, **{VARIABLE: f"{point}:{times}"}) as process:
            code = process.wait(600)
        if code != -signal.SIGKILL:
            print(f"{sink}: {point}:{times} was not reached, exit code {code}\n{trial.tail()}")
            return 1
        done[point] += 1
        found = bool(faults(trial, expected, complete=False))
        if found:
            print(f"{sink}: broken after the kill at {point}:{times}")
            break
    if not found and (code := trial.run("--available-now")) != 0:
        print(f"{sink}: the last run ended with {code}\n{trial.tail()}")
        return 1
    seconds = round(time.monotonic() - started)
    code = verdict(f"{kills} kills, {sink}", trial, expected, {"kills": dict(done), "seconds": seconds})
    if code == 0:
        shutil.rmtree(trial.root)
    return code


if __name__ == "__main__":
    sys.exit(main())
