"""Observed metrics of Spark: images, failures and latencies, counted while results are computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyspark.sql import Column
from pyspark.sql import functions as F

from streaming.batch_stats import BatchStats, Latency

NAME = "results"
"""The name of the metrics in Spark's reports of a query."""
_BINS = 64
"""The maximum number of different latencies kept exactly per micro-batch; beyond it, neighbours are merged."""


def observed_columns() -> list[Column]:
    """Return the aggregates of results (`streaming.results.results`) for `DataFrame.observe`.

    There are few, because each one adds to the planning of every micro-batch.
    """
    seconds = F.col("predicted_at").cast("double") - F.col("produced_at").cast("double")
    return [
        F.count(F.lit(1)).alias("images"),
        F.count("reason").alias("failed"),
        F.histogram_numeric(seconds, F.lit(_BINS)).alias("latency"),
    ]


def stats_of(metrics: Mapping[str, Any]) -> BatchStats:
    """Return the counts and latencies of a micro-batch from its observed metrics."""
    images, failed = metrics["images"], metrics["failed"]
    found = ((entry["x"], entry["y"]) for entry in metrics["latency"] or ())  # rows, or their JSON values
    bins = [(max(seconds, 0.0), round(count)) for seconds, count in found]
    return BatchStats(images - failed, failed, Latency.of(bins) if bins else None)
