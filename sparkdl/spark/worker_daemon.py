"""The process that Spark forks Python workers from in a local session, with the modules that all of them need.

Workers that import them after the fork have each their own copy in memory, and take the time one after the other.
`python -m sparkdl.spark.worker_daemon MODULE` is what `python -m pyspark.daemon MODULE` is otherwise.
"""

from __future__ import annotations

import gc
import importlib
import os
import runpy
import sys
from contextlib import suppress

LIGHT = "SPARKDL_LIGHT_WORKERS"
"""Set in the environment of workers that classify nothing."""
_WORKER = "pyspark.worker"
_NEEDED = ("numpy", "pyarrow.compute", "PIL.Image", "pyspark.sql.types", "sparkdl.inference.fused_worker")


def _import_needed() -> None:
    for name in _NEEDED:
        with suppress(ImportError):  # the worker says so
            importlib.import_module(name)
    gc.freeze()


if __name__ == "__main__":
    if _WORKER in sys.argv and LIGHT not in os.environ:
        _import_needed()
    runpy.run_module("pyspark.daemon", run_name="__main__", alter_sys=True)
