"""Retry policy of a stream."""

from __future__ import annotations

_FIRST_DELAY, _MAX_DELAY = 1.0, 60.0  # seconds; doubled at each failure in a row


class RetryPolicy:
    """How often and after which delay a stream that failed is started again.

    Parameters
    ----------
    limit
        Restarts in a row.

    Attributes
    ----------
    failures
        In a row, since the last micro-batch that succeeded.
    """

    def __init__(self, limit: int) -> None:
        self.failures = 0
        self._limit = limit

    def record_success(self) -> None:
        """A micro-batch was written."""
        self.failures = 0

    def record_failure(self, *, fatal: bool) -> float | None:
        """Record a failure, and return the seconds until the next attempt, None if there is none to be."""
        self.failures += 1
        if fatal or self.failures > self._limit:
            return None
        return float(min(_FIRST_DELAY * 2 ** (self.failures - 1), _MAX_DELAY))
