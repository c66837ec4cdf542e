"""Promises of `benchmarks/speed`: what a rate is, and that docs/performance.md says what was measured."""

from __future__ import annotations

import json

import pytest
from bench import interleaved, spread
from paths import ROOT
from process_usage import rate_of
from tables import rendered


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


def test_the_page_says_what_was_measured() -> None:
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert page == rendered(page, json.loads((ROOT / "benchmarks" / "results" / "speed.json").read_text()))
