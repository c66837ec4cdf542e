"""The Python of local workers: the driver's Python, without Spark's archives on its path.

A driver's JVM puts `pyspark.zip` and two more archives first on the path of each Python process that it starts. An
archive contains no compiled modules, so each of these processes compiles PySpark again, which takes half a second. In a
local session, the workers' Python finds the installed, compiled PySpark.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shlex
import sys
import sysconfig
from pathlib import Path

from sparkdl.errors import RequestError
from sparkdl.system.cache import cache_directory, write_cached_program

_log = logging.getLogger(__name__)

# The path that the JVM adds ends with Spark's core; a path without it is not changed.
_PROGRAM = """#!/bin/sh
PYTHONPATH=${{PYTHONPATH#*/spark-core_*.jar}}
PYTHONPATH=${{PYTHONPATH#:}}
export PYTHONPATH
exec {python} "$@"
"""


def is_local(master: str | None) -> bool:
    """Return whether a master runs tasks as threads of the driver."""
    return master is not None and master.startswith("local") and not master.startswith("local-cluster")


def worker_daemon(master: str) -> dict[str, str]:
    """Return settings with which Python workers of a local session share the modules that they need."""
    return {"spark.python.daemon.module": "sparkdl.spark.worker_daemon"} if is_local(master) else {}


def worker_python(master: str) -> str:
    """Return the program that a driver's JVM starts as Python, which runs this process's Python.

    It is a script in the cache. If the cache cannot be written, workers may run on other machines, or PySpark is not
    among this Python's own packages, it is this Python itself.
    """
    if not is_local(master) or "SPARK_HOME" in os.environ or not _is_installed():
        return sys.executable
    try:
        content = _PROGRAM.format(python=shlex.quote(sys.executable))
        program = cache_directory("python") / f"python-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
        write_cached_program(program, content)
    except (OSError, RequestError) as error:
        _log.info("Python workers start more slowly: %s", error)
        return sys.executable
    # The disk of the cache may be mounted without execute permission.
    return str(program) if os.access(program, os.X_OK) else sys.executable


def _is_installed() -> bool:
    import pyspark

    return Path(pyspark.__path__[0]).parent == Path(sysconfig.get_path("purelib"))
