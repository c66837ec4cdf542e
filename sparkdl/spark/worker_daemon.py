"""The process that Spark forks Python workers from in a local session, with the modules that all of them need.

Workers that import them after the fork have each their own copy in memory, and take the time one after the other.
`python -m sparkdl.spark.worker_daemon MODULE` is what `python -m pyspark.daemon MODULE` is otherwise. Spark's own
imports nothing, since a thread does not survive a fork: of the modules here Arrow's allocator has one, which takes care
of forks; ONNX Runtime has one that is not known to, so each worker imports it.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sparkdl.spark.private import daemon

LIGHT = "SPARKDL_LIGHT_WORKERS"
"""Set in the environment of workers that classify nothing."""
_WORKER = "pyspark.worker"
_NEEDED = ("numpy", "pyarrow.compute", "PIL.Image", "pyspark.sql.types", "sparkdl.inference.fused_worker")


def _import_needed() -> None:
    for name in _NEEDED:
        with suppress(ImportError):  # the worker says so
            importlib.import_module(name)
    gc.freeze()


def _without_last_words(work: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function of a worker that ends without a stack trace when Spark has closed its connection."""

    def run(*arguments: Any) -> Any:
        try:
            return work(*arguments)
        except BrokenPipeError:
            os._exit(1)

    return run


if __name__ == "__main__":
    if _WORKER in sys.argv and LIGHT not in os.environ:
        _import_needed()
    module = daemon()
    module.worker = _without_last_words(module.worker)
    module.manager()
