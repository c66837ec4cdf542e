"""The micro-batch that a task belongs to."""

from __future__ import annotations

from pyspark import TaskContext

_PROPERTY = "streaming.sql.batchId"
"""The property that Spark sets for the jobs of a micro-batch; it has no public name."""


def running_batch() -> int | None:
    """Return the number of the micro-batch that this task computes; None if it belongs to no streaming query."""
    context = TaskContext.get()
    number = context.getLocalProperty(_PROPERTY) if context else None
    return None if number is None else int(number)
