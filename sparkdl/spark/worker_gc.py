"""Garbage collection in a long-lived Python worker."""

from __future__ import annotations

import gc
from functools import cache


@cache
def freeze_gc() -> None:
    """Exempt all loaded objects from garbage collection; call this when most of them are loaded.

    A Spark worker collects after each task, and most objects live as long as the worker.
    """
    gc.collect()
    gc.freeze()
