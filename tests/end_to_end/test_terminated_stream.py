"""A stream as a command that is terminated, and then run to its end on the same checkpoint."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field

import pytest
from paths import ROOT
from streams import Place, digits, drop, id_of, wait_until

from sparkdl.models.registry import Registry
from training.data.loading import Dataset, LabelledImage


@dataclass
class Command:
    """A finished `sparkdl stream`."""

    code: int
    out: str
    log: list[str]
    ids: list[str]


COMMAND = ("-m", "console.main")
COMMAND_AND_PROBE = (str(ROOT / "tests" / "support" / "probe_imports.py"),)


def stream_command(
    place: Place,
    *arguments: str,
    program: tuple[str, ...] = COMMAND,
    number: signal.Signals | None = None,
) -> Command:
    """Runs the command; with `number`, sends that signal after two batches."""
    log = place.root / "log"
    command = [sys.executable, *program, "stream", "--source", place.watched, "--sink", place.sink]
    command += ["--model", place.registry.path, "--checkpoint", place.checkpoint, "--conf", "spark.master=local[2]"]
    with log.open("w") as errors:
        process = subprocess.Popen(
            [*map(str, command), *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
    if number is not None:
        wait_until(lambda: log.read_text().count('"event": "batch"') >= 2 or process.poll() is not None)
        process.send_signal(number)
    out, _ = process.communicate(timeout=120)
    return Command(process.returncode, out, log.read_text().splitlines(), place.ids())


@dataclass
class Interrupted(Place):
    images_dropped: list[LabelledImage] = field(default_factory=list)
    runs: list[Command] = field(default_factory=list)


@pytest.fixture(scope="module")
def interrupted(registry: Registry, drawn: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Interrupted:
    place = Interrupted(tmp_path_factory.mktemp("interrupted"), registry)
    place.watched.mkdir()
    place.images_dropped = digits(drawn, 60)
    drop(place.images_dropped, place.watched)
    slowly = ("--trigger", "0s", "--max-images-per-trigger", "10")
    place.runs = [
        stream_command(place, *slowly, number=signal.SIGTERM),
        stream_command(place, "--available-now", program=COMMAND_AND_PROBE),
    ]
    return place


@pytest.mark.slow
def test_sigterm_ends_a_stream_after_its_batch_with_0_and_the_sum_as_last_line(interrupted: Interrupted) -> None:
    terminated = interrupted.runs[0]
    assert terminated.code == 0
    assert terminated.out == ""
    assert 20 <= len(terminated.ids) < 60
    assert len(terminated.ids) % 10 == 0
    assert len(set(terminated.ids)) == len(terminated.ids)
    lines = [json.loads(line) for line in terminated.log if line != "starting Spark"]
    assert Counter(line["event"] for line in lines) == {"stream started": 1, "batch": len(lines) - 2, "stream ended": 1}
    assert lines[-1]["event"] == "stream ended"
    assert lines[-1]["images"] == sum(line["images"] for line in lines[1:-1])


@pytest.mark.slow
def test_after_a_stop_each_image_has_ended_once(interrupted: Interrupted) -> None:
    finished = interrupted.runs[-1]
    assert finished.code == 0
    assert finished.ids == sorted(map(id_of, interrupted.images_dropped))


@pytest.mark.slow
def test_a_stream_has_neither_tensorflow_nor_pandas_nor_scipy_in_any_process(interrupted: Interrupted) -> None:
    found = json.loads(interrupted.runs[-1].out)
    assert found["driver"] == []
    assert [worker for worker in found["workers"] if worker["heavy"]] == []
    assert any(worker["networks"] for worker in found["workers"])  # one of those that classified was asked
