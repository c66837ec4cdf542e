"""Progress reports from long-running steps."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Receives the name of the step, how much of it is done, and the total (0 if unknown)."""


def no_progress(step: str, done: int, total: int) -> None:
    """Discard the report."""
