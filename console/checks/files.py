"""Checks of the cache and its content, of the disks and the clock."""

from __future__ import annotations

import os
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from console.checks.base import Finding, Question, State

_LOW, _FULL = 2 << 30, 200 << 20  # bytes of free disk: Spark spills, models and jars are stored
_MAX_SKEW = 2.0  # seconds between the clock and the time of a file that was just written


def find_cache(question: Question) -> Finding:
    """Check that the cache can be written, and by this user alone."""
    from sparkdl.system.cache import CACHE_VARIABLE, cache_directory

    directory = cache_directory("jars").parent
    there = _existing(directory)
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        value = f"{directory} cannot be written: {error.strerror}"
        return Finding(State.MISSING, value, f"export {CACHE_VARIABLE}=DIRECTORY that you can write to")
    if there != directory:
        return Finding(State.OK, f"{directory}, created when it is needed")
    size = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
    return Finding(State.OK, f"{directory}, {_bytes(size)}")


def find_jars(lock: Path, directory: Path, purpose: str) -> Finding:
    """Check that the jars of a list are in the cache, each with its digest."""
    from sparkdl.spark.jars import read_list
    from sparkdl.system.hashing import sha256

    jars = read_list(lock)
    there = [jar for jar in jars if (directory / jar.name).is_file()]
    if wrong := [jar.name for jar in there if sha256(directory / jar.name) != jar.sha256]:
        return Finding(State.MISSING, f"{wrong[0]} is not the one on the list", f"rm {directory / wrong[0]}")
    if len(there) < len(jars):
        value = f"{len(there)} of {len(jars)} are cached, the others are fetched at the first use; for {purpose}"
        return Finding(State.WARN, value, f"python -m sparkdl.spark.jars {directory} {lock}")
    return Finding(State.OK, f"all {len(jars)} are cached")


def find_connector(name: str) -> Finding:
    """Check that the jars of a connector are in the cache."""
    from sparkdl.system.cache import cache_directory
    from streaming.spark_conf import DELTA, KAFKA

    connector, purpose = {"kafka": (KAFKA, "Kafka sources and sinks"), "delta": (DELTA, "Delta sinks")}[name]
    return find_jars(connector.lock, cache_directory("jars"), purpose)


def find_broker_jars(question: Question) -> Finding:
    """Check that the jars of the local broker are in the cache."""
    from streaming.kafka.local.jars import LOCK, jars_directory

    return find_jars(LOCK, jars_directory(), "sparkdl kafka start")


def find_weights(question: Question) -> Finding:
    """Check the weights of the built-in network, and count the others."""
    from sparkdl.networks.backbones import BACKBONES
    from sparkdl.networks.weights import find_weights as find_file
    from sparkdl.system.cache import cache_directory

    find_file(BACKBONES["EfficientNetLite0"], None)  # checks its digest
    others = []
    if os.environ.get("SPARKDL_WEIGHTS_DIR"):
        named = (each for each in BACKBONES.values() if each.keras_file)
        others = [each.name for each in named if find_file(each, None) is not None]
    exported = len(list(cache_directory("networks").glob("*.onnx")))
    told = ["EfficientNetLite0", *(f"{name} (SPARKDL_WEIGHTS_DIR)" for name in others)]
    return Finding(State.OK, f"{', '.join(told)}; exported networks in the cache: {exported}")


def find_disk(question: Question) -> Finding:
    """Check the free space where the cache, temporary files and the working directory are."""
    from sparkdl.system.cache import cache_directory

    places = {"cache": cache_directory("jars").parent, "TMPDIR": Path(tempfile.gettempdir()), "here": Path.cwd()}
    return judge_space({name: _free(_existing(path)) for name, path in places.items()})


def judge_space(free: dict[str, int]) -> Finding:
    """Return the finding of free bytes, by the name of the place."""
    value = ", ".join(f"{name} {_bytes(size)}" for name, size in free.items())
    if min(free.values()) < _FULL:
        return Finding(State.MISSING, value, f"free some space: less than {_bytes(_FULL)} is left")
    if min(free.values()) < _LOW:
        return Finding(State.WARN, value, f"less than {_bytes(_LOW)} is left")
    return Finding(State.OK, value)


def find_clock(question: Question) -> Finding:
    """Check that the clock is not before this program was made, and agrees with the file system."""
    here = Path.cwd() if os.access(Path.cwd(), os.W_OK) else Path(tempfile.gettempdir())
    return judge_clock(time.time(), Path(__file__).stat().st_mtime, _skew(here))


def judge_clock(now: float, installed: float, skew: float) -> Finding:
    """Return the finding of a clock, from the seconds since 1970 at which this program was installed.

    Parameters
    ----------
    skew
        By how many seconds the time of a new file is later than the clock.
    """
    value = f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S} UTC"
    if now < installed - _MAX_SKEW:
        return Finding(State.MISSING, f"{value}, before this program was installed", "set the clock: timedatectl")
    if abs(skew) > _MAX_SKEW:
        advice = "synchronize the clocks of this machine and of the file server: timedatectl set-ntp true"
        return Finding(State.WARN, f"{value}, {skew:+.1f} s to the file system", advice)
    return Finding(State.OK, f"{value}, {abs(skew):.1f} s to the file system")


def _skew(directory: Path) -> float:
    """Return by how many seconds the time of a new file differs from the clock."""
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(b".")
            file.flush()
            return os.fstat(file.fileno()).st_mtime - time.time()
    except OSError:  # a full or read-only disk, which the other checks tell
        return 0.0


def _existing(path: Path) -> Path:
    return next((each for each in (path, *path.parents) if each.is_dir()), Path(path.anchor))


def _free(path: Path) -> int:
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def _bytes(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB" if size >= 1 << 30 else f"{size / (1 << 20):.0f} MiB"
