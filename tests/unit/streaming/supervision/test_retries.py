"""Promises of `streaming.supervision.retries`: delays double up to a minute, fatal failures are not retried."""

from __future__ import annotations

from streaming.supervision.retries import RetryPolicy


def test_delays_double_up_to_a_minute() -> None:
    policy = RetryPolicy(8)
    assert [policy.record_failure(fatal=False) for _ in range(9)] == [1, 2, 4, 8, 16, 32, 60, 60, None]


def test_a_success_begins_the_count_again() -> None:
    policy = RetryPolicy(1)
    assert policy.record_failure(fatal=False) == 1
    policy.record_success()
    assert policy.record_failure(fatal=False) == 1
    assert policy.record_failure(fatal=False) is None
    assert policy.failures == 2


def test_a_fatal_failure_is_not_retried() -> None:
    assert RetryPolicy(5).record_failure(fatal=True) is None
