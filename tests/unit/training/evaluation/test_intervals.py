"""Intervals and McNemar's test against published examples and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from training.evaluation.intervals import mcnemar, paired_difference, wilson

Z = 1.959963984540054

tables = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 400)).filter(lambda t: sum(t) > 0)
"""Images that the first alone has right, that the second alone has, and the others."""


def test_airway_hyper_responsiveness_before_and_after_a_transplantation() -> None:
    # M. W. Fagerland, S. Lydersen, P. Laake, Statistics in Medicine 33, 2014, 2850-2875: of 21 children 1 and 7.
    assert paired_difference(1, 7, 21) == pytest.approx([-0.517, -0.026], abs=5e-4)
    assert mcnemar(1, 7) == pytest.approx(0.0703, abs=5e-5)


def test_mcnemar_s_test_is_the_sign_test_of_the_images_that_one_alone_has_right() -> None:
    assert mcnemar(0, 5) == pytest.approx(2 * 0.5**5)
    assert mcnemar(2, 8) == pytest.approx(2 * (1 + 10 + 45) / 2**10)
    assert mcnemar(3, 3) == 1
    assert mcnemar(0, 0) == 1


def test_of_many_images_the_exact_test_is_near_the_chi_squared_one() -> None:
    z = (5200 - 4800 - 1) / math.sqrt(10_000)  # with the correction for continuity
    assert mcnemar(5200, 4800) == pytest.approx(math.erfc(z / math.sqrt(2)), rel=0.01)


@given(tables)
def test_swapping_the_models_swaps_the_signs(drawn: tuple[int, int, int]) -> None:
    first, second, rest = drawn
    n = first + second + rest
    low, high = paired_difference(first, second, n)
    assert -1 <= low <= (first - second) / n <= high <= 1
    assert paired_difference(second, first, n) == pytest.approx([-high, -low], abs=1e-9)
    assert mcnemar(first, second) == mcnemar(second, first)


@given(tables)
def test_the_interval_excludes_0_where_mcnemar_s_score_test_rejects(drawn: tuple[int, int, int]) -> None:
    first, second, rest = drawn
    low, high = paired_difference(first, second, first + second + rest)
    score = (first - second) / math.sqrt(max(first + second, 1))
    if abs(abs(score) - Z) > 1e-6:
        assert (low > 0 or high < 0) == (abs(score) > Z)


@given(st.integers(1, 1000))
def test_models_that_are_never_apart_differ_by_at_most_what_wilson_says_of_none(n: int) -> None:
    most = wilson(0, n)[1]
    assert paired_difference(0, 0, n) == pytest.approx([-most, most], abs=1e-9)


@pytest.mark.parametrize(("first", "second", "n"), [(12, 2, 50), (1, 7, 21), (40, 20, 160), (0, 3, 30)])
def test_at_its_limits_the_difference_is_z_deviations_away(first: int, second: int, n: int) -> None:
    for limit in paired_difference(first, second, n):
        # The likeliest share of `second` alone, were the difference the limit.
        def unlikeliness(share: float, limit: float = limit) -> float:
            parts = ((first, share + limit), (second, share), (n - first - second, 1 - 2 * share - limit))
            return -sum(count * math.log(max(part, 1e-300)) for count, part in parts)

        bounds = (max(0.0, -limit), (1 - limit) / 2)
        share = minimize_scalar(unlikeliness, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
        deviation = math.sqrt((2 * share + limit - limit**2) / n)
        assert abs((first - second) / n - limit) / deviation == pytest.approx(Z, rel=1e-3)


def test_about_95_of_100_intervals_hold_the_true_difference() -> None:
    random = np.random.default_rng(0)
    drawn = random.multinomial(60, [0.15, 0.05, 0.8], size=1000)
    intervals = [paired_difference(int(a), int(b), 60) for a, b, _ in drawn]
    assert 930 <= sum(low <= 0.1 <= high for low, high in intervals) <= 970
