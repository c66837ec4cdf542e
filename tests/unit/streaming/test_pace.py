"""Promises of `streaming.batch_sizing`: micro-batches grow and shrink until a full one takes about 8 seconds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.batch_sizing import FIRST, Pace


def settled(rate: float) -> Pace:
    """After as many full micro-batches as it takes, at `rate` images a second."""
    pace = Pace()
    for _ in range(4):
        pace.note(pace.size, pace.size / rate)
        if pace.is_off:
            pace.adjust()
    return pace


@pytest.mark.parametrize("rate", [10, 100, 128, 400, 1500])
def test_a_full_micro_batch_comes_to_take_about_eight_seconds(rate: float) -> None:
    pace = settled(rate)
    assert 8 / 1.5 <= pace.size / rate <= 8 * 1.5
    assert not pace.is_off


@given(st.floats(0.001, 1e6))
def test_it_stays_within_bounds(rate: float) -> None:
    assert 32 <= settled(rate).size <= 16384


def test_the_first_micro_batch_tells_nothing() -> None:
    pace = Pace()
    pace.note(FIRST, 1000)
    assert not pace.is_off


def test_one_that_is_not_full_tells_nothing() -> None:
    pace = Pace()
    pace.note(FIRST, 8)
    pace.note(FIRST // 2, 0.001)
    assert not pace.is_off


def test_a_size_that_was_asked_for_stays() -> None:
    pace = Pace(10)
    for _ in range(3):
        pace.note(10, 1e-3)
    assert pace.size == 10
    assert not pace.is_off
