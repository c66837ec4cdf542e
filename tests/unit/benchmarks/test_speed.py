"""Promises of `benchmarks/speed`: what a rate is, and that docs/explanation/performance.md says what was measured."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from bench import ContenderError, interleaved, spread
from paths import ROOT
from process_usage import Measured, memory_by_kind, processor_time, rate_of, spent_by_kind
from tables import TABLES, rendered

KEPT = json.loads((ROOT / "benchmarks" / "results" / "speed.json").read_text())


def test_the_rate_is_that_after_the_warm_up() -> None:
    progress = [(10.0, 100), (20.0, 200), (21.0, 300), (23.0, 500)]
    assert rate_of(progress, 150) == (500 - 200) / (23 - 20)
    assert rate_of(progress, 200) == 100
    assert rate_of(progress, 0) == 400 / 13


def test_a_run_that_ends_with_the_warm_up_has_no_rate() -> None:
    with pytest.raises(ValueError, match="no images after the warm-up of 100"):
        rate_of([(1.0, 50), (2.0, 100)], 100)


def test_a_spread_is_the_median_and_the_ends() -> None:
    assert spread([3, 1, 2]) == [2, 1, 3]
    assert spread([4, 1, 2, 3]) == [2.5, 1, 4]


def test_each_contender_has_its_turn_in_each_round_and_none_is_always_first() -> None:
    order: list[str] = []
    contenders = {name: lambda name=name: order.append(name) for name in "abc"}
    found = interleaved(contenders, 3, lambda number, name, last: None)  # type: ignore[arg-type]
    assert order == [*"abc", *"bca", *"cab"]
    assert {name: len(runs) for name, runs in found.items()} == {"a": 3, "b": 3, "c": 3}


def test_a_contender_that_fails_is_left_out_by_name_and_the_others_go_on() -> None:
    def fail() -> Measured:
        runs.append("original")
        raise ContenderError("original.py failed", "Downloading\nURL fetch failure on inception_v3.h5\n")

    runs: list[str] = []
    left_out: dict[str, str] = {}
    contenders = {"stream": lambda: Measured(2.0, {}), "original": fail, "loop": lambda: Measured(1.0, {})}
    found = interleaved(contenders, 3, lambda number, name, last: None, left_out.__setitem__)
    assert {name: len(of) for name, of in found.items()} == {"stream": 3, "loop": 3}
    assert left_out == {"original": "URL fetch failure on inception_v3.h5"}
    assert runs == ["original"]


def test_a_stream_that_fails_ends_the_measurement() -> None:
    def fail() -> Measured:
        raise ContenderError("the stream failed", "sparkdl: no such model")

    with pytest.raises(ContenderError, match="the stream failed: sparkdl: no such model"):
        interleaved({"stream, INT8": fail}, 1, lambda number, name, last: None, lambda name, reason: None)


def test_a_table_names_what_was_left_out() -> None:
    figures = {**KEPT["directory"], "left_out": {"TensorFlow loop": "no TensorFlow"}}
    assert "Left out: TensorFlow loop (no TensorFlow)." in TABLES["directory"](figures)


def test_a_process_that_ends_counts_up_to_its_last_sample() -> None:
    samples = [
        {1: ("JVM", 3.0)},
        {1: ("JVM", 4.0), 2: ("Python", 1.5)},
        {1: ("JVM", 5.0), 3: ("Python", 0.5)},
    ]
    assert spent_by_kind(samples) == {"JVM": 2.0, "Python": 2.0}


def test_a_process_that_takes_another_title_counts_once() -> None:
    samples = [{1: ("other Python", 1.0)}, {1: ("Ray's processes", 3.0)}]
    assert spent_by_kind(samples) == {"Ray's processes": 2.0}


def test_the_processor_time_of_children_counts_before_and_after_they_end() -> None:
    busy = "import time\nwhile time.process_time() < 0.3: pass\n"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}]); print(); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()  # type: ignore[union-attr] # asked for
        assert processor_time(process.pid) >= 0.3
        assert memory_by_kind(process.pid)["other Python"] > 1 << 20
        process.communicate()
    assert processor_time(process.pid) == 0


def test_the_page_says_what_was_measured() -> None:
    page = (ROOT / "docs" / "explanation" / "performance.md").read_text(encoding="utf-8")
    assert page == rendered(page, KEPT)
