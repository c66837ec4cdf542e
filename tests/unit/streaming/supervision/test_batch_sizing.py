"""Promises of `streaming.supervision.batch_sizing`: a full micro-batch comes to take about 8 seconds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.supervision.batch_sizing import INITIAL, BatchSizer


def settled(rate: float) -> BatchSizer:
    """After as many full micro-batches as it takes, at `rate` images a second."""
    sizer = BatchSizer()
    for _ in range(4):
        sizer.record(sizer.size, sizer.size / rate)
        if sizer.should_resize:
            sizer.apply()
    return sizer


@pytest.mark.parametrize("rate", [10, 100, 128, 400, 1500])
def test_a_full_micro_batch_comes_to_take_about_eight_seconds(rate: float) -> None:
    sizer = settled(rate)
    assert 8 / 1.5 <= sizer.size / rate <= 8 * 1.5
    assert not sizer.should_resize


@given(st.floats(0.001, 1e6))
def test_it_stays_within_bounds(rate: float) -> None:
    assert 32 <= settled(rate).size <= 16384


@pytest.mark.parametrize("rate", [300, 760, 1500])
def test_the_first_measurement_is_enough_whatever_a_micro_batch_costs_besides_its_images(rate: float) -> None:
    sizer = BatchSizer()
    for _ in range(2):
        sizer.record(sizer.size, 0.2 + sizer.size / rate)
    assert sizer.should_resize
    sizer.apply()
    assert sizer.size / rate > 7
    sizer.record(sizer.size, 0.2 + sizer.size / rate)
    assert not sizer.should_resize


def test_the_first_micro_batch_tells_nothing() -> None:
    sizer = BatchSizer()
    sizer.record(INITIAL, 1000)
    assert not sizer.should_resize


def test_one_that_is_not_full_tells_nothing() -> None:
    sizer = BatchSizer()
    sizer.record(INITIAL, 8)
    sizer.record(INITIAL // 2, 0.001)
    assert not sizer.should_resize


def test_a_size_that_was_asked_for_stays() -> None:
    sizer = BatchSizer(10)
    for _ in range(3):
        sizer.record(10, 1e-3)
    assert sizer.size == 10
    assert not sizer.should_resize
