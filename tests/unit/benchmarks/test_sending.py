"""Promises of `benchmarks/speed` about latency: what is sent when, what belongs to what, and what the page says."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aims import aims
from bench import spread
from latency import Served, summary
from routes import DirectoryRoute, opened
from sending import Phase, quantiles, send_at, slow, wait_for, windows
from tables import TABLES

MACHINE = {"cpu": "A", "cores": 2, "vnni": True, "memory_gib": 8, "python": "3.11", "at": "2026-01-01"}


def phase(seconds: list[float], rate: float = 10.0, missing: int = 0) -> Phase:
    return Phase([number / rate for number in range(len(seconds))], seconds, missing, 0.001, len(seconds))


def publish(route: DirectoryRoute, number: int, *names: str) -> None:
    batch = route.target / ".staging" / f"batch={number}"
    batch.mkdir(parents=True)
    pq.write_table(pa.table({"id": list(names)}), batch / "part-0.parquet")
    (route.target / "predictions").mkdir(exist_ok=True)
    batch.rename(route.target / "predictions" / batch.name)


def test_a_result_belongs_to_its_image_in_whatever_order_they_arrive(tmp_path: Path) -> None:
    with opened(route := DirectoryRoute(tmp_path, [b"a", b"b"])):
        for number in range(3):
            route.send(number)
        publish(route, 0, "2.png")
        assert wait_for(route, 1, 10)
        publish(route, 1, "0.png")
        assert wait_for(route, 2, 10)
        arrived = route.arrivals(range(3))
    assert arrived.keys() == {0, 2}
    assert arrived[2] < arrived[0]
    assert (route.source / "1.png").read_bytes() == b"b"


def test_an_image_without_a_result_counts_as_long_as_it_was_waited_for(tmp_path: Path) -> None:
    with opened(route := DirectoryRoute(tmp_path, [b"a"])):
        began = time.monotonic()
        found = send_at(route, 5, rate=100, seconds=0.1, warm_up=0.05, patience=0.2)
    assert (len(found.sent), found.missing, found.ended) == (10, 10, 20)
    assert min(found.seconds) >= 0.2
    assert found.sent[0] - began >= 0.05  # those of the warm-up do not count
    assert {path.name for path in route.source.iterdir()} == {f"{number}.png" for number in range(5, 20)}


def test_a_contender_that_has_ended_is_not_waited_for(tmp_path: Path) -> None:
    def check() -> None:
        raise RuntimeError("ended")

    with opened(route := DirectoryRoute(tmp_path, [b"a"])), pytest.raises(RuntimeError, match="ended"):
        wait_for(route, 1, 10, check)


def test_quantiles_are_those_of_all_images() -> None:
    found = quantiles([number / 1000 for number in range(1001)])
    assert found == pytest.approx({"p50": 0.5, "p95": 0.95, "p99": 0.99, "p99.9": 0.999, "max": 1.0})


def test_each_window_has_a_tail_and_a_short_rest_is_part_of_the_last() -> None:
    found = windows(phase([0.1] * 100 + [0.2] * 100 + [0.3] * 4), 10)
    assert found == pytest.approx([0.1, 0.3], abs=0.01)
    assert windows(phase([0.1, 0.1]), 300) == pytest.approx([0.1])


def test_slow_images_keep_their_time() -> None:
    assert slow(phase([0.1, 0.6, 0.5, 0.7]), 0.5) == [(0.1, 0.6), (pytest.approx(0.3), 0.7)]


def served(*seconds: float, idle: float | None = 0.02) -> Served:
    phases = {10: phase(list(seconds) * 50)}
    return Served(phases, {10: 0.3}, {10: 0.05}, idle, {"JVM": 200 << 20, "other Python": 100 << 20})


def test_a_summary_has_the_median_round_of_each_quantile() -> None:
    found = summary([served(0.1, 0.1), served(0.3, 0.3), served(0.2, 0.2)])
    assert found["rates"]["10"]["p50"] == pytest.approx([0.2, 0.1, 0.3])
    assert found["rates"]["10"]["images"] == 100
    assert found["idle_cores"] == [0.02, 0.02, 0.02]
    assert found["peak_mib"] == [300, 300, 300]


def test_a_rate_that_only_some_rounds_reached_counts_these() -> None:
    behind = Served({1: phase([1.0], 1.0, missing=1)}, {1: 0.1}, {1: 0.1}, None, {"JVM": 1 << 20})
    reached = Served({1: phase([2.0], 1.0), 10: phase([3.0])}, {1: 0.1, 10: 0.2}, {1: 0.1, 10: 0.1}, 0.1, {"JVM": 1})
    rates = summary([behind, reached])["rates"]
    assert rates["1"]["missing"] == 1
    assert rates["10"]["p50"] == spread([3.0])


def test_the_table_of_latency_shows_no_quantile_of_too_few_images_and_names_what_is_missing() -> None:
    contenders = {"stream": summary([served(0.1, 0.3)] * 3), "loop": summary([served(0.2, idle=None)] * 3)}
    contenders["loop"]["rates"]["10"]["missing"] = 2
    figures = {"contenders": contenders, "left_out": {"stream, realtime": "no such trigger"}, "conf": ["a=b"],
               "seconds": 5, "warm_up": 1, "rounds": 3, "machine": MACHINE}  # fmt: skip
    lines = TABLES["latency"](figures)
    assert "| 10 a second; seconds | p50 | p95 | p99 | max | cores |" in lines
    assert any(line.startswith("| stream | 0.200 (0.200 to 0.200) | 0.300 (0.300 to 0.300) | 0.300") for line in lines)
    assert "| loop (2 of 50 without a result) | 0.200 (0.200 to 0.200) | 0.200 (0.200 to 0.200) |  | " in "".join(lines)
    assert "| stream | 0.020 (0.020 to 0.020) | 300 |" in lines
    assert "| loop |  | 300 |" in lines
    assert "Left out: stream, realtime (no such trigger)." in lines
    assert "The stream ran with `a=b`." in lines


def test_the_table_of_soak_has_the_tail_of_each_window_and_the_growth_of_memory() -> None:
    of_one = {**quantiles([0.1, 0.2]), "images": 2, "missing": 0, "slow": 3, "cores": 0.25,
              "windows_p99": [0.1, 0.25], "memory_mib": {"JVM": [300.0, 310.0]}}  # fmt: skip
    figures = {"contenders": {"stream": of_one}, "left_out": {}, "conf": [], "minutes": 10, "rate": 10,
               "rounds": 1, "machine": MACHINE}  # fmt: skip
    lines = TABLES["soak"](figures)
    assert "| stream | 0.150 | 0.199 | 0.200 | 0.200 | 3 | 0.25 | 0.10 0.25 |" in lines
    assert "| stream | JVM | 300 | 310 |" in lines
    assert "10 minutes at 10 images a second, one run" in lines[-1]


def test_an_aim_takes_the_worse_rate_and_stands_without_a_figure_until_it_is_measured() -> None:
    words = "| p50 latency at 10 and 50 a second, Kafka to Kafka, s | at most 0.1 |"
    assert f"{words}  | not measured |" in aims({})
    rates = {rate: {"p50": [value] * 3, "p99": [value] * 3} for rate, value in (("10", 0.05), ("50", 0.12))}
    figures = {"latency": {"contenders": {"stream": {"rates": rates}}}}
    assert f"{words} 0.120 | **no** |" in aims(figures)
