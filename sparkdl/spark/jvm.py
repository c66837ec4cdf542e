"""The driver's JVM: starts with Spark settings while this process does other work; its output is filtered."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext

from sparkdl.errors import SparkdlError
from sparkdl.spark.private import gateway, start_gateway, use_gateway
from sparkdl.system.terminal import printable

_NOISE = (
    "WARNING: Using incubator modules",  # Spark requests the vector module of every Java that has it
    "netlib-blas:",  # a native library that is optional
    "Using Spark's default log4j profile",
)
_IVY_BEGINS, _IVY_ENDS = ":: loading settings ::", "already retrieved ("
_REMEMBERED = 1000  # lines
# The Python with which the JVM searches for data sources of other packages, and which it uses for nothing else. Without
# that Python the JVM skips the search, which would delay the start and leave two processes.
_LOOKED_UP_WITH, _NO_PYTHON = "PYSPARK_DRIVER_PYTHON", "no-python"


def start_jvm(settings: Mapping[str, str], *, other_sources: bool, meanwhile: Callable[[], None]) -> None:
    """Start the driver's JVM if there is none; forward its output to stderr without known noise.

    Parameters
    ----------
    settings
        The Spark settings.
    other_sources
        Whether Spark searches for data sources of other packages.
    meanwhile
        Called in this thread while the JVM starts.

    Raises
    ------
    SparkdlError
        If the JVM does not start.
    """
    from pyspark.errors import PySparkRuntimeError

    if gateway() is not None:
        meanwhile()
        return
    reading, writing = os.pipe()
    output: list[str] = []
    listener = threading.Thread(target=_pass_on, args=(reading, output), daemon=True, name="jvm-stderr")
    listener.start()
    try:
        with (
            nullcontext() if other_sources else _environment(_LOOKED_UP_WITH, _NO_PYTHON),
            ThreadPoolExecutor(1) as pool,
        ):
            # stdout is reserved for the data of the calling program.
            starting = pool.submit(start_gateway, settings, {"stdout": writing, "stderr": writing})
            meanwhile()
            started = starting.result()
    except PySparkRuntimeError as error:
        os.close(writing)
        listener.join()
        raise SparkdlError(_why_not_started(output, settings)) from error
    os.close(writing)
    output.clear()
    use_gateway(started)


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Set an environment variable for processes that start inside the block."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _why_not_started(output: list[str], settings: Mapping[str, str]) -> str:
    """Return the reason why a JVM did not start, from its output."""
    if any("unresolved dependency" in line for line in output):
        return (
            f"{settings.get('spark.jars.packages')} cannot be fetched: name a repository that has it in "
            "--conf spark.jars.ivySettings=FILE, or pass --conf spark.jars=FILE,... with the jars and what they need"
        )
    reasons = [line for line in output if "Exception" in line or "Error" in line] or output[-1:]
    return f"Spark did not start: {reasons[0] if reasons else 'its JVM ended at once'}"


def _pass_on(reading: int, output: list[str]) -> None:
    """Copy lines to stderr, and to `output` until Spark runs; the report of Ivy, which fetches jars, only there."""
    fetching = False
    with os.fdopen(reading, "r", errors="replace") as lines:
        for line in lines:
            if len(output) < _REMEMBERED:
                output.append(line.strip())
            fetching = fetching or line.startswith(_IVY_BEGINS)
            if not fetching and not line.startswith(_NOISE):
                sys.stderr.write(printable(line, keep="\n\t"))
            fetching = fetching and _IVY_ENDS not in line
