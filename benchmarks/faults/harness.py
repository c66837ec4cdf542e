"""Harness of the fault tests: images, the stream in a separate process, and the counts of its results.

models = trained_models(work)                       # a registry, trained once and kept in `work`
trial = Trial(work / "points-parquet", models)      # its directories, created again
images = drawn_images(1000)                         # 3 in 100 of them broken
expected = drop(images, trial.watched)              # as the producer does; returns the expected ids
with trial.stream("--trigger", "0s") as process:    # `sparkdl stream`, killed with all its processes at the end
    ...
trial.run("--available-now")
return verdict("points", trial, expected, {"kills": 20})    # prints the counts; 0 if each id occurs once, else 1
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from producer.replay import replay_to_directory, sequence
from sparkdl.errors import SparkdlError
from sparkdl.models.registry import Registry
from training.data.loading import Dataset, LabelledImage, open_dataset
from training.data.synthetic.digits import draw_png

ROOT = Path(__file__).resolve().parents[2]
WORK = Path(tempfile.gettempdir()) / "sparkdl-faults"
PARTS = ("predictions", "dead_letters")
BROKEN_LABEL = "broken"
_SHOWN = 10  # ids of each kind of fault


class SinkKind(StrEnum):
    """The exactly-once sinks."""

    PARQUET = "parquet"
    DELTA = "delta"


@dataclass(frozen=True)
class Expected:
    """The expected ids of predictions and of dead letters."""

    predictions: frozenset[str]
    dead_letters: frozenset[str]

    @property
    def images(self) -> int:
        return len(self.predictions) + len(self.dead_letters)


def trained_models(work: Path = WORK) -> Path:
    """Return a registry in `work` with a model trained on drawn samples, once per version of this package."""
    models = work / "models"
    if not _is_sound(models):
        shutil.rmtree(models, ignore_errors=True)
        work.mkdir(parents=True, exist_ok=True)
        command = [
            "train",
            "--data",
            "samples:40",
            "--set",
            "max_iter=20",
            "--set",
            "augmentations=0",
            "--models",
            str(models),
        ]
        subprocess.run(_sparkdl(*command), check=True, env=_environment({}), stdout=subprocess.DEVNULL)
    return models


def _is_sound(models: Path) -> bool:
    """Whether a registry has a promoted model that this version can load."""
    try:
        current = Registry(models).current()
        if current is not None:
            current.verify()
    except SparkdlError:
        return False
    return current is not None


def drawn_images(count: int, broken: float = 0.03, seed: int = 1) -> list[LabelledImage]:
    """Return drawn digits with unique names; a share of them is broken and has the label `broken`."""
    bad = round(count * broken)
    good = open_dataset(f"samples:{-(-(count - bad) // 10)}", seed).images[: count - bad]
    return [LabelledImage(f"{n:05d}.png", image.label, payload=image.read()) for n, image in enumerate(good)] + [
        LabelledImage(f"{n:05d}.png", BROKEN_LABEL, payload=_broken(n)) for n in range(bad)
    ]


def _broken(number: int) -> bytes:
    whole = draw_png(number % 10, number)
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :]
    return (b"", whole[:middle], flipped, b"not an image, but words")[number % 4]


def expected_of(images: Sequence[LabelledImage]) -> Expected:
    """Return the ids of images that are written to label folders."""
    broken = {f"{image.label}/{image.name}" for image in images if image.label == BROKEN_LABEL}
    return Expected(frozenset(f"{image.label}/{image.name}" for image in images) - broken, frozenset(broken))


def drop(images: Sequence[LabelledImage], directory: Path, rate: float | None = None, seed: int = 3) -> Expected:
    """Write images to label folders as the producer does, shuffled, at `rate` per second; return their ids."""
    mixed = sequence(Dataset("", tuple(images)), shuffle=True, seed=seed)
    replay_to_directory(mixed, directory, rate=rate, label_folders=True)
    return expected_of(images)


class Trial:
    """The directories of one stream, and its command.

    Parameters
    ----------
    root
        Its own directory; files of an earlier trial are removed.
    models
        The registry.
    kind
        The kind of the sink.
    source
        The address of the source; by default the directory `watched` below `root`.
    """

    def __init__(self, root: Path, models: Path, kind: SinkKind = SinkKind.PARQUET, source: str | None = None) -> None:
        self.root, self.models, self.kind = root, models, kind
        self.watched, self.sink, self.checkpoint = root / "watched", root / "sink", root / "checkpoint"
        self.log = root / "log"
        self.source = source or str(self.watched)
        shutil.rmtree(root, ignore_errors=True)
        self.watched.mkdir(parents=True)

    def command(self, *arguments: str, master: str = "local[2,4]") -> list[str]:
        """Return the command line of the stream."""
        places = ["--source", self.source, "--sink", f"{self.kind}:{self.sink}", "--checkpoint", str(self.checkpoint)]
        settings = ["--model", str(self.models), "--conf", f"spark.master={master}"]
        return _sparkdl("stream", *places, *settings, *arguments)

    @contextmanager
    def stream(self, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run the stream in its own process group, which is killed at the end of the block.

        Its output is appended to `log`. The block ends when none of its processes is left.
        """
        with self.log.open("ab") as said:
            process = subprocess.Popen(
                self.command(*arguments),
                stdout=subprocess.DEVNULL,
                stderr=said,
                env=_environment(environment),
                start_new_session=True,
            )
        try:
            yield process
        finally:
            family = processes_of(process.pid)  # Spark's Python processes are in separate groups
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            for member in family:
                with suppress(psutil.NoSuchProcess):
                    member.kill()
            process.wait()
            wait_until(lambda: not any(lives(member) for member in family), 60)

    def run(self, *arguments: str, seconds: float = 600, **environment: str) -> int:
        """Run the stream until it ends by itself or at a fault point; return its exit code (-9: killed)."""
        with self.stream(*arguments, **environment) as process:
            return process.wait(seconds)

    def batches(self) -> int:
        """Return the number of micro-batches that all streams of this trial have logged."""
        return self.log.read_bytes().count(b'"event": "batch"') if self.log.is_file() else 0

    def ids(self, part: str) -> list[str]:
        """Return the ids of `predictions` or `dead_letters` as another program reads them, with repetitions."""
        directory = self.sink / part
        if self.kind is SinkKind.DELTA:
            from deltalake import DeltaTable

            if not DeltaTable.is_deltatable(str(directory)):
                return []
            files = DeltaTable(str(directory)).file_uris()
        else:
            files = [str(path) for path in sorted(directory.glob("batch=*/*.parquet"))]
        tables = [pq.ParquetFile(file).read(["id"]) for file in files]
        return pa.concat_tables(tables)["id"].to_pylist() if tables else []

    def tail(self, lines: int = 20) -> str:
        """Return the last lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


@dataclass(frozen=True)
class Faults:
    """Errors in the ids of a sink: four lists, all empty if there are none."""

    missing: list[str]
    doubled: list[str]
    strange: list[str]
    misplaced: list[str]
    """Good images among the dead letters, broken ones among the predictions."""

    def __bool__(self) -> bool:
        return any((self.missing, self.doubled, self.strange, self.misplaced))


def faults(trial: Trial, expected: Expected, *, complete: bool = True) -> Faults:
    """Compare the sink with the expected ids; unless `complete`, ids may still be missing."""
    predictions, dead = (Counter(trial.ids(part)) for part in PARTS)
    all_ids, found = expected.predictions | expected.dead_letters, predictions + dead
    return Faults(
        missing=sorted(all_ids - found.keys()) if complete else [],
        doubled=sorted(name for name, count in found.items() if count > 1),
        strange=sorted(found.keys() - all_ids),
        misplaced=sorted((predictions.keys() & expected.dead_letters) | (dead.keys() & expected.predictions)),
    )


def verdict(title: str, trial: Trial, expected: Expected, facts: Mapping[str, object]) -> int:
    """Print the counts of a finished trial; return the exit code: 0 if each id occurs exactly once, else 1."""
    found = faults(trial, expected)
    counts = {part: len(trial.ids(part)) for part in PARTS}
    sums = {"images": expected.images, **counts, "sum": sum(counts.values()), **facts}
    sums |= {name: len(values) for name, values in vars(found).items()}
    print(f"{title}: {'BROKEN' if found else 'kept'} {json.dumps(sums)}", flush=True)
    for name, values in vars(found).items():
        for value in values[:_SHOWN]:
            print(f"  {name}: {value}")
    if found:
        print(f"  left as it is: {trial.root}")
    return 1 if found else 0


def processes_of(driver: int) -> list[psutil.Process]:
    """Return the running processes of a stream: its driver, the JVM, and the Python processes that the JVM starts."""
    found = []
    with suppress(psutil.Error):
        leader = psutil.Process(driver)
        for process in (leader, *leader.children(recursive=True)):
            with suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
    return found


def lives(process: psutil.Process) -> bool:
    """Whether a process is running and not a zombie."""
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until `condition` is true.

    Raises
    ------
    TimeoutError
        If it is still false after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the condition is still false after {seconds} s")
        time.sleep(0.02)


def _sparkdl(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "console.main", *arguments]


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}
