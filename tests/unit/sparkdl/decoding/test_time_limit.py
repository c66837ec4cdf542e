"""Promises of `time_limit`: slow images shorten the time of those that follow, and time gives it
back.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkdl.decoding.isolation.time_limit import MIN_LIMIT, AdaptiveTimeout


def limits_of_images_that_never_end(adaptive: AdaptiveTimeout, count: int) -> list[float]:
    limits, now = [], 0.0
    for _ in range(count):
        limit = adaptive.limit(now)
        now += limit
        adaptive = adaptive.after(limit, limit, now)
        limits.append(limit)
    return limits


def test_each_image_that_times_out_quarters_the_limit_until_it_is_at_its_least() -> None:
    limits = limits_of_images_that_never_end(AdaptiveTimeout(30), 20)
    assert limits[:5] == pytest.approx([30, 7.5, 2.2, 0.58, 0.15], rel=0.2)
    assert limits[6:] == pytest.approx([0.1] * 14, rel=0.1)


@given(st.floats(1, 600), st.integers(1, 3000))
def test_a_thousand_of_them_hold_a_worker_for_a_stated_time(timeout: float, count: int) -> None:
    adaptive = AdaptiveTimeout(timeout)
    assert sum(limits_of_images_that_never_end(adaptive, count)) <= 1.5 * timeout + 1.2 * count * adaptive.min_limit()


def test_images_that_are_slow_and_succeed_shorten_it_too() -> None:
    adaptive, now, images = AdaptiveTimeout(30), 0.0, 0
    while (limit := adaptive.limit(now)) > 6.6:
        now += 6.6
        adaptive, images = adaptive.after(6.6, limit, now), images + 1
    assert images <= 8


@pytest.mark.parametrize("seconds", [0.001, 0.2, 2.9])
def test_honest_work_shortens_nothing_however_much_of_it_there_is(seconds: float) -> None:
    adaptive = AdaptiveTimeout(30)
    for image in range(10_000):
        adaptive = adaptive.after(seconds, adaptive.limit(seconds * image), seconds * image)
    assert adaptive == AdaptiveTimeout(30)


def test_time_gives_it_back() -> None:
    adaptive = AdaptiveTimeout(30)
    for _ in range(1000):
        adaptive = adaptive.after(30, 30, 100)
    assert adaptive.limit(100) == pytest.approx(0.1)
    waits = [adaptive.limit(100 + seconds) for seconds in range(0, 271, 30)]
    assert waits == sorted(waits)
    assert waits[-1] == 30


def test_an_image_now_and_then_that_never_ends_takes_half_of_the_time_at_most() -> None:
    adaptive, now, held = AdaptiveTimeout(30), 0.0, 0.0
    for _ in range(1000):
        now += 20  # of good images
        limit = adaptive.limit(now)
        now += limit
        held += limit
        adaptive = adaptive.after(limit, limit, now)
    assert held < now / 2


@pytest.mark.parametrize(("mebibytes", "seconds"), [(0.01, 0.1), (3, 0.6), (6, 1.1), (30, 1.1)])
def test_an_image_of_many_bytes_keeps_the_time_that_an_honest_one_takes(mebibytes: float, seconds: float) -> None:
    adaptive = AdaptiveTimeout(30)
    for _ in range(1000):
        adaptive = adaptive.after(30, 30, 100)
    assert adaptive.limit(100, round(mebibytes * 2**20)) == pytest.approx(seconds, rel=0.05)


def test_without_a_budget_the_limit_stays() -> None:
    adaptive = AdaptiveTimeout(30, shrinks=False).after(30, 30, 1)
    assert adaptive.limit(1) == 30


@pytest.mark.parametrize(("timeout", "least"), [(0.1, 0.1), (1, MIN_LIMIT), (30, MIN_LIMIT), (300, 1)])
def test_the_least_limit_grows_with_the_timeout(timeout: float, least: float) -> None:
    assert AdaptiveTimeout(timeout).min_limit() == pytest.approx(least)
