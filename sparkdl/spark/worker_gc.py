"""Python's garbage collector in a worker that lives long and loads much."""

from __future__ import annotations

import gc
from functools import cache


@cache
def spare_collector() -> None:
    """Has the collector pass over all that this process has loaded so far; to be called when that is most of it.

    Spark's worker has it collect after each task, and most of what it looks at stays as long as the worker does.
    """
    gc.collect()
    gc.freeze()
