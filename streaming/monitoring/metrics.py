"""Prometheus metrics of a stream."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from sparkdl.system.left_out import LeftOut, Why
from streaming.batch_stats import LATENCY_BUCKETS, Latency
from streaming.failures import Failure
from streaming.monitoring.observer import Batch, Observer

CONTENT_TYPE = CONTENT_TYPE_LATEST
_WATCHED = (Why.HIDDEN, Why.TEMPORARY, Why.IGNORED, Why.NOT_REGULAR, Why.UNREADABLE)
"""The reasons for which a directory source leaves files and folders out."""
_QUANTILES = {"p50": "0.5", "p95": "0.95", "p99": "0.99", "max": "1"}
_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class _Latencies(Collector):
    """A histogram that receives the counts of one micro-batch at a time."""

    def __init__(self) -> None:
        self._counts = [0] * (len(LATENCY_BUCKETS) + 1)
        self._total = 0.0
        self._lock = threading.Lock()

    def add(self, latency: Latency) -> None:
        with self._lock:
            self._counts = [old + new for old, new in zip(self._counts, latency.counts, strict=True)]
            self._total += latency.total

    def collect(self) -> Iterator[HistogramMetricFamily]:
        with self._lock:
            bounds = (*map(str, LATENCY_BUCKETS), "+Inf")
            yield HistogramMetricFamily(
                "sparkdl_latency_seconds",
                "Time from an image's produced_at until it was classified or rejected.",
                buckets=list(zip(bounds, map(float, self._counts), strict=True)),
                sum_value=self._total,
            )


class Metrics(Observer):
    """Counts of results since the start of the process. A repeated micro-batch is not counted again."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._images = Counter(
            "sparkdl_images", "Images with a result in the sink.", ["result"], registry=self.registry
        )
        for result in ("prediction", "dead_letter"):
            self._images.labels(result)  # 0 from the start
        self._batches = Histogram(
            "sparkdl_batch_seconds",
            "Time to classify and write a micro-batch.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._latencies = _Latencies()
        self.registry.register(self._latencies)
        self._quantiles = Gauge(
            "sparkdl_latency_quantile_seconds",
            "Quantiles of that time in the last micro-batch.",
            ["quantile"],
            registry=self.registry,
        )
        self._last = Gauge(
            "sparkdl_last_batch_timestamp_seconds", "When the last micro-batch was written.", registry=self.registry
        )
        self._failures = Counter(
            "sparkdl_failures", "Failures after which the stream was restarted.", registry=self.registry
        )
        self._changes = Counter("sparkdl_model_changes", "Changes to another promoted model.", registry=self.registry)
        self._refusals = Counter("sparkdl_models_refused", "Promoted models that were refused.", registry=self.registry)
        self._left_out = Gauge(
            "sparkdl_left_out",
            "Files and folders that the source leaves out, as of its last listing.",
            ["reason"],
            registry=self.registry,
        )
        for why in _WATCHED:
            self._left_out.labels(why.value)  # 0 from the start
        self._model = Gauge(
            "sparkdl_model_info",
            "The model version in use, as the label of the value 1.",
            ["version"],
            registry=self.registry,
        )

    def text(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self.registry)

    def _uses(self, model: str) -> None:
        self._model.clear()
        self._model.labels(model).set(1)

    def started(self, source: str, sink: str, checkpoint: Path, model: str) -> None:
        self._uses(model)

    def batch(self, batch: Batch) -> None:
        self._images.labels("prediction").inc(batch.predictions)
        self._images.labels("dead_letter").inc(batch.dead_letters)
        self._batches.observe(batch.seconds)
        if batch.latency is not None:
            self._latencies.add(batch.latency)
            for quantile in _QUANTILES:
                self._quantiles.labels(_QUANTILES[quantile]).set(getattr(batch.latency, quantile))
        self._last.set_to_current_time()

    def left_out(self, left_out: LeftOut) -> None:
        for why in {*_WATCHED, *left_out.reasons}:
            self._left_out.labels(why.value).set(left_out.count(why))

    def failed(self, failure: Failure, retry: int, wait: float) -> None:
        self._failures.inc()

    def model_changed(self, old: str, new: str) -> None:
        self._changes.inc()
        self._uses(new)

    def model_refused(self, name: str, reason: str) -> None:
        self._refusals.inc()
