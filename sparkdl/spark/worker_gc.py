"""Garbage collection in a long-lived Python worker."""

from __future__ import annotations

import gc
from functools import cache


@cache
def freeze_gc() -> None:
    """Exempt everything loaded so far from garbage collection; call it when most of it is loaded.

    A Spark worker collects after each task, and most objects live as long as the worker.
    """
    gc.collect()
    gc.freeze()
