"""Promises of a stream's log and metrics about latency."""

from __future__ import annotations

import json

import pytest

from streaming.batch_stats import LATENCY_BUCKETS, BatchStats, Latency
from streaming.monitoring.log import BatchLog
from streaming.monitoring.metrics import Metrics
from streaming.monitoring.observer import Batch

FAST = Latency(0.02, 0.04, 0.05, 0.06, 0.1, (0, 3, *[4] * (len(LATENCY_BUCKETS) - 1)))
SLOW = Latency(700.0, 700.0, 700.0, 700.0, 700.0, (*[0] * len(LATENCY_BUCKETS), 1))


def batch(number: int, latency: Latency | None) -> Batch:
    return Batch.of(number, BatchStats(4, 0, latency), 0.5)


def test_latencies_add_up_to_a_histogram() -> None:
    metrics = Metrics()
    for number, latency in enumerate((FAST, SLOW, None)):
        metrics.batch(batch(number, latency))
    text = metrics.text().decode()
    lines = [line for line in text.splitlines() if line.startswith("sparkdl_latency_seconds_bucket")]
    found = {line.split('"')[1]: float(line.split()[-1]) for line in lines}
    assert found == {"0.01": 0, "0.025": 3, **{str(bound): 4 for bound in LATENCY_BUCKETS[2:]}, "+Inf": 5}
    assert "sparkdl_latency_seconds_count 5.0" in text
    assert "sparkdl_latency_seconds_sum 700.1" in text


def test_the_quantiles_are_those_of_the_last_micro_batch() -> None:
    metrics = Metrics()
    metrics.batch(batch(0, SLOW))
    metrics.batch(batch(1, FAST))
    lines = [line for line in metrics.text().decode().splitlines() if line.startswith("sparkdl_latency_quantile")]
    assert {line.split('"')[1]: float(line.split()[-1]) for line in lines} == {
        "0.5": 0.02,
        "0.95": 0.04,
        "0.99": 0.05,
        "1": 0.06,
    }


def test_the_log_has_the_latency_of_a_micro_batch_where_it_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    log = BatchLog()
    log.batch(batch(0, FAST))
    log.batch(batch(1, None))
    known, unknown = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert {key: value for key, value in known.items() if key.startswith("latency")} == {
        "latency_p50": 0.02,
        "latency_p99": 0.05,
        "latency_max": 0.06,
    }
    assert not any(key.startswith("latency") for key in unknown)
