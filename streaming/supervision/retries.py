"""Retry policy of a stream."""

from __future__ import annotations

_FIRST_DELAY, _MAX_DELAY = 1.0, 60.0  # seconds; the delay doubles with each failure in a row


class RetryPolicy:
    """Decides whether, and after which delay, a failed stream is restarted.

    Parameters
    ----------
    limit
        Maximum restarts in a row.

    Attributes
    ----------
    failures
        Failures in a row since the last successful micro-batch.
    """

    def __init__(self, limit: int) -> None:
        self.failures = 0
        self._limit = limit

    def record_success(self) -> None:
        """Record that a micro-batch was written."""
        self.failures = 0

    def record_failure(self, *, fatal: bool) -> float | None:
        """Record a failure; return the seconds until the next attempt, None if the stream must not be restarted."""
        self.failures += 1
        if fatal or self.failures > self._limit:
            return None
        return float(min(_FIRST_DELAY * 2 ** (self.failures - 1), _MAX_DELAY))
