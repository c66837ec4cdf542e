"""Common parts of the measurements: images, model and exports, and running and timing of contenders.

A contender runs as a separate process and prints `SECONDS IMAGES`, on the monotonic clock, as it makes progress. Its
rate is measured from the first line at or after the warm-up to the last line, so its start does not count.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from textwrap import shorten
from typing import Any, TypeVar

import psutil
from process_usage import Measured, Progress, Watch, family
from sending import Sending

ROOT = Path(__file__).resolve().parents[2]
CONTENDERS = Path(__file__).parent / "contenders"
WORK = Path(tempfile.gettempdir()) / "sparkdl-speed"


class ContenderError(RuntimeError):
    """A contender failed.

    Attributes
    ----------
    reason
        The last line that it printed, or a description.
    """

    def __init__(self, what: str, printed: str) -> None:
        super().__init__(f"{what}: {printed[-2000:]}")
        lines = [line.strip() for line in printed.splitlines() if line.strip()]
        self.reason = shorten(lines[-1], 200, placeholder=" ...") if lines else what


class Bench:
    """The directories of a measurement below `WORK`, and their content.

    Parameters
    ----------
    home
        `NUMTADB_HOME`; None for drawn images.
    python
        A Python with Quix Streams and Ray; None if there is none.
    sending
        How images are sent in latency measurements.
    """

    def __init__(self, home: Path | None, python: Path | None = None, sending: Sending | None = None) -> None:
        self.home, self.python, self.sending = home, python, sending or Sending()
        WORK.mkdir(exist_ok=True)
        self._runs = 0

    def place(self) -> Path:
        """Return a new directory."""
        self._runs += 1
        place = WORK / "runs" / f"{self._runs:04d}"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        return place

    def sources(self) -> list[bytes]:
        """Return different encoded images: the 180 px colour originals of NumtaDB, or drawn ones of that size."""
        if self.home is not None:
            return [path.read_bytes() for path in sorted((self.home / "numtadb").glob("training-[a-d]/*.png"))]
        return drawn(180)

    def images(self, count: int, name: str = "originals", sources: Sequence[bytes] | None = None) -> Path:
        """Return a directory of `count` files, which repeat `sources`."""
        directory = WORK / f"{name}-{count}"
        if not directory.is_dir():
            partial = WORK / f".{directory.name}"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            payloads = sources if sources is not None else self.sources()
            for number in range(count):
                (partial / f"{number:06d}.png").write_bytes(payloads[number % len(payloads)])
            partial.rename(directory)
        return directory

    def model(self, recipe: str = "digits", *settings: str) -> Path:
        """Return a registry with one model, trained on `numta500` or on drawn digits, and with its exports."""
        registry = WORK / "-".join(["models", recipe, *settings]).replace("=", "-")
        data = str(self.home / "numta500") if self.home is not None else "samples:50"
        if not (registry / "CURRENT").is_file():
            print(f"training {registry.name} on {data}", flush=True)
            sets = [word for setting in settings for word in ("--set", setting)]
            run([*sparkdl("train", "--data", data, "--recipe", recipe, "--test-fraction", "0.22"), *sets,
                 "--models", str(registry)])  # fmt: skip
        return registry

    def export(self, registry: Path) -> Path:
        """Return the network and the classifier of a model as plain files, for contenders without Spark ML."""
        exported = registry / "export"
        if not (exported / "about.json").is_file():
            run([sys.executable, str(Path(__file__).parent / "export.py"), str(registry), str(exported)])
        return exported

    def other(self, name: str) -> list[str]:
        """Return the command of a contender that needs additional packages."""
        if self.python is None:
            raise FileNotFoundError("--python: a Python with Quix Streams and Ray")
        return [str(self.python), str(CONTENDERS / name)]

    def contender(self, name: str) -> list[str]:
        return [sys.executable, str(CONTENDERS / name)]


def drawn(side: int, count: int = 40) -> list[bytes]:
    import io

    from PIL import Image

    from training.data.synthetic.digits import draw_png

    made = []
    for seed in range(count):
        target = io.BytesIO()
        with Image.open(io.BytesIO(draw_png(seed % 10, seed=seed))) as image:
            image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC).save(target, "PNG")
        made.append(target.getvalue())
    return made


def sparkdl(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "console.main", *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def run(command: Sequence[str]) -> None:
    """Run a command to its end; show its output if it fails."""
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")


def timed(command: Sequence[str], place: Path, warm_up: int) -> Measured:
    """Run a contender that prints its progress."""
    with running(command, place) as (process, watch):
        lines = process.stdout.read().splitlines()  # type: ignore[union-attr] # asked for
        if process.wait():
            raise ContenderError(f"{' '.join(command)} failed", (place / "log").read_text())
    clock = time.time() - time.monotonic()
    printed = (line.split() for line in lines if line[:1].isdigit())
    progress = [(clock + float(at), int(done)) for at, done in printed]
    if not progress or progress[-1][1] <= warm_up:
        raise ContenderError(f"{' '.join(command)} failed", f"no images after the warm-up of {warm_up}")
    return watch.measured(progress, warm_up)


def stream(arguments: Sequence[str], place: Path, warm_up: int) -> Measured:
    """Run `sparkdl stream ... --available-now`; its log shows the progress."""
    with running(sparkdl("stream", *arguments), place) as (process, watch):
        if process.wait():
            raise ContenderError("the stream failed", (place / "log").read_text())
    return watch.measured(batches(place / "log"), warm_up)


def batches(log: Path) -> Progress:
    """Return the progress of a stream, by the clock of its log."""
    progress: Progress = []
    done = 0
    for line in log.read_text().splitlines():
        event = json.loads(line) if line.startswith("{") else {}
        if event.get("event") == "batch":
            done += event["images"]
            progress.append((datetime.fromisoformat(event["timestamp"]).timestamp(), done))
    return progress


@contextmanager
def running(command: Sequence[str], place: Path) -> Iterator[tuple[subprocess.Popen[str], Watch]]:
    """Run and watch a process; kill it and all its descendants at the end of the block."""
    with started(command, place) as process:
        watch = Watch(process.pid)
        try:
            yield process, watch
        finally:
            watch.stop()


@contextmanager
def started(command: Sequence[str], place: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a process; kill it and all its descendants at the end of the block."""
    with (place / "log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment(), start_new_session=True
        )
    try:
        yield process
    finally:
        members = family(process.pid)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for member in members:
            with suppress(psutil.Error):
                member.kill()
        process.wait()


Run = TypeVar("Run")


def interleaved(
    contenders: Mapping[str, Callable[[], Run]],
    rounds: int,
    tell: Callable[[int, str, Run], None],
    leave_out: Callable[[str, str], None] | None = None,
    is_needed: Callable[[str], bool] = lambda name: name.startswith("stream"),
) -> dict[str, list[Run]]:
    """Run each contender once per round, in an order that changes from round to round.

    With `leave_out`, a contender that fails, for example because its weights are missing, is left out with all its
    runs, and the others continue.

    Parameters
    ----------
    tell
        Receives the round, the name and the result of each run.
    leave_out
        Receives the name of a contender that failed, and the reason.
    is_needed
        Whether a contender is never left out, by its name; by default a stream, to which all ratios are relative.
    """
    found: dict[str, list[Run]] = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            if name not in found:
                continue
            try:
                found[name].append(contenders[name]())
            except ContenderError as error:
                if leave_out is None or is_needed(name):
                    raise
                del found[name]
                leave_out(name, error.reason)
            else:
                tell(number + 1, name, found[name][-1])
    return found


def spread(values: Iterable[float]) -> list[float]:
    """Return [median, minimum, maximum]."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return [median, ordered[0], ordered[-1]]


def machine() -> dict[str, Any]:
    """Return a description of this machine."""
    about = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = next((line.split(":")[1].strip() for line in about.splitlines() if line.startswith("model name")), "")
    flags = next((line.split(":")[1].split() for line in about.splitlines() if line.startswith("flags")), [])
    return {
        "cpu": model or platform.processor(),
        "cores": os.cpu_count(),
        "vnni": any("vnni" in flag for flag in flags),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "at": time.strftime("%Y-%m-%d"),
    }
