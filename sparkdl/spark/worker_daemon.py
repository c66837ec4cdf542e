"""The process from which Spark forks Python workers in a local session; it preloads the modules that all workers need.

Workers that import the modules after the fork each have their own copy in memory, and each spend the time to import.
`python -m sparkdl.spark.worker_daemon MODULE` replaces `python -m pyspark.daemon MODULE`. Spark's own daemon imports
nothing, because a thread does not survive a fork. Of the modules here, Arrow's allocator has a thread and handles
forks. ONNX Runtime has a thread that is not known to handle forks, so each worker imports it.
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
"""The variable in the environment of workers that do not classify."""
_WORKER = "pyspark.worker"
_NEEDED = ("numpy", "pyarrow.compute", "PIL.Image", "pyspark.sql.types", "sparkdl.inference.fused_worker")


def _import_needed() -> None:
    for name in _NEEDED:
        with suppress(ImportError):  # the worker reports it
            importlib.import_module(name)
    gc.freeze()


def _without_last_words(work: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function of a worker that ends without a stack trace after Spark closed its connection."""

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
