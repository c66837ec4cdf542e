"""What is counted while results are computed: images, failures and latencies, as observed metrics of Spark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyspark.sql import Column
from pyspark.sql import functions as F

from streaming.batch_stats import LATENCY_BUCKETS, BatchStats, Latency

NAME = "results"
"""The name of the metrics in Spark's reports of a query."""
_QUANTILES = (0.5, 0.95, 0.99, 1.0)


def observed_columns() -> list[Column]:
    """Return the aggregates of results (`streaming.results.results`) for `DataFrame.observe`."""
    seconds = F.greatest(F.col("predicted_at").cast("double") - F.col("produced_at").cast("double"), F.lit(0.0))
    return [
        F.count(F.lit(1)).alias("images"),
        F.count("reason").alias("failed"),
        F.percentile_approx(seconds, list(_QUANTILES)).alias("quantiles"),
        F.sum(seconds).alias("seconds"),
        *(F.count_if(seconds <= bound).alias(f"within_{index}") for index, bound in enumerate(LATENCY_BUCKETS)),
        F.count(seconds).alias("timed"),
    ]


def stats_of(metrics: Mapping[str, Any]) -> BatchStats:
    """Return the counts and latencies of a micro-batch from its observed metrics."""
    images, failed = metrics["images"], metrics["failed"]
    if not metrics["timed"]:
        return BatchStats(images - failed, failed)
    within = [metrics[f"within_{index}"] for index in range(len(LATENCY_BUCKETS))]
    p50, p95, p99, most = metrics["quantiles"]
    latency = Latency(p50, p95, p99, most, metrics["seconds"], (*within, metrics["timed"]))
    return BatchStats(images - failed, failed, latency)
