"""Fault test: makes the disk of a stream fail in several ways, restores it, and counts the results.

python benchmarks/faults/storage.py [--images N] [CASE...]

Cases: `full-sink` and `full-checkpoint` (no space left on the device), `read-only-sink` and `read-only-checkpoint`,
`removed-sink` (renamed away and back), `cut-checkpoint` (the last entries of the Spark logs are truncated, as after a
power failure). The first four mount a small file system in memory and need root; if it cannot be mounted, they are left
out with a message. Images arrive continuously. Exit code 0 if every image is in the sink exactly once after the cause
is removed.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness import WORK, Trial, drawn_images, drop, expected_of, trained_models, verdict, wait_until

_FLAGS = ("--trigger", "0s", "--max-images-per-trigger", "20", "--retries", "100")
_FAILED = b'"event": "stream failed"'
_DISK_BYTES = 24 << 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(_CASES)}; default: all")
    chosen = parser.parse_args()
    if strange := set(chosen.cases) - set(_CASES):
        parser.error(f"no case {', '.join(sorted(strange))}: expected some of {', '.join(_CASES)}")
    code = 0
    for name in chosen.cases or _CASES:
        trial = Trial(WORK / "storage" / name, trained_models())
        disk = _CASES[name][0]
        with _mounted(trial.root / disk) if disk else _nothing() as mounted:
            if disk and not mounted:
                print(f"{name}: left out, no file system can be mounted here")
                continue
            code |= _run(name, trial, chosen.images)
    return code


def _run(name: str, trial: Trial, count: int) -> int:
    _, fault = _CASES[name]
    images = drawn_images(count)
    producer = threading.Thread(target=drop, args=(images, trial.watched, 30.0), daemon=True)
    facts: dict[str, object] = {}
    with trial.stream(*_FLAGS) as process:
        wait_until(lambda: b"stream started" in trial.log.read_bytes() or process.poll() is not None, 120)
        producer.start()
        wait_until(lambda: trial.batches() > 1 or process.poll() is not None, 120)
        fault(trial, process, facts)
        if process.poll() is None:
            wait_until(lambda: _rows(trial) >= count or process.poll() is not None, 300)
            process.send_signal(signal.SIGTERM)
        facts["exit code"] = process.wait(120)
        facts["attempts"] = trial.log.read_bytes().count(_FAILED)
    producer.join()
    if facts["exit code"] != 0 or name == "cut-checkpoint":
        facts["next exit code"] = trial.run(*_FLAGS, "--available-now")
    return verdict(name, trial, expected_of(images), facts)


def _rows(trial: Trial) -> int:
    return sum(len(trial.ids(part)) for part in ("predictions", "dead_letters"))


def _wait_for_failures(trial: Trial, process: subprocess.Popen[bytes], facts: dict[str, object]) -> None:
    """Wait until the stream has failed twice or has ended."""
    wait_until(lambda: trial.log.read_bytes().count(_FAILED) >= 2 or process.poll() is not None, 120)
    lines = [line for line in trial.log.read_text().splitlines() if "stream failed" in line]
    facts["reason"] = lines[-1].split('"reason": "')[-1].split('", "')[0] if lines else trial.tail(1)


def _full(place: Callable[[Trial], Path]) -> Callable[[Trial, subprocess.Popen[bytes], dict[str, object]], None]:
    def fault(trial: Trial, process: subprocess.Popen[bytes], facts: dict[str, object]) -> None:
        filler = place(trial) / "filler"
        with suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(bytes(4096))
                file.flush()
        _wait_for_failures(trial, process, facts)
        filler.unlink()

    return fault


def _read_only(place: Callable[[Trial], Path]) -> Callable[[Trial, subprocess.Popen[bytes], dict[str, object]], None]:
    def fault(trial: Trial, process: subprocess.Popen[bytes], facts: dict[str, object]) -> None:
        # A file system with files open for writing is busy; it can be made read-only between two files.
        wait_until(lambda: _remount(place(trial), "ro"), 60)
        _wait_for_failures(trial, process, facts)
        _remount(place(trial), "rw")

    return fault


def _remount(place: Path, mode: str) -> bool:
    command = ["mount", "-o", f"remount,{mode}", str(place)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _removed(trial: Trial, process: subprocess.Popen[bytes], facts: dict[str, object]) -> None:
    aside = trial.root / "aside"
    trial.sink.rename(aside)
    _wait_for_failures(trial, process, facts)
    with suppress(FileExistsError):
        aside.rename(trial.sink)


def _cut(trial: Trial, process: subprocess.Popen[bytes], facts: dict[str, object]) -> None:
    process.kill()
    process.wait()
    for log in ("commits", "offsets"):
        entries = sorted((path for path in (trial.checkpoint / log).glob("[0-9]*")), key=lambda path: int(path.name))
        last = entries[-1]
        last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
        facts[f"cut {log}"] = last.name


def _sink(trial: Trial) -> Path:
    return trial.sink


def _checkpoint(trial: Trial) -> Path:
    return trial.checkpoint


_CASES: dict[str, tuple[str | None, Callable[[Trial, subprocess.Popen[bytes], dict[str, object]], None]]] = {
    "full-sink": ("sink", _full(_sink)),
    "full-checkpoint": ("checkpoint", _full(_checkpoint)),
    "read-only-sink": ("sink", _read_only(_sink)),
    "read-only-checkpoint": ("checkpoint", _read_only(_checkpoint)),
    "removed-sink": (None, _removed),
    "cut-checkpoint": (None, _cut),
}


@contextmanager
def _mounted(place: Path) -> Iterator[bool]:
    """Mount a small file system in memory at `place` for the duration of the block; yield False if that fails."""
    place.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "sparkdl", str(place)]
    try:
        mounted = subprocess.run(command, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(place)], check=False)


@contextmanager
def _nothing() -> Iterator[bool]:
    yield False


if __name__ == "__main__":
    sys.exit(main())
