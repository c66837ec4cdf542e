"""Tells of a running stream: one line a micro-batch, and a sum at the end."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import structlog

from streaming.settings import StreamSettings

if TYPE_CHECKING:
    from streaming.job import Batch


class BatchLog:
    """Writes to stderr: coloured words at a terminal, one JSON object a line elsewhere."""

    def __init__(self) -> None:
        renderer = (
            structlog.dev.ConsoleRenderer(pad_event_to=16)
            if sys.stderr.isatty()
            else structlog.processors.JSONRenderer()
        )
        self._log = structlog.wrap_logger(
            structlog.PrintLogger(sys.stderr),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                renderer,
            ],
        )
        self._since = time.monotonic()
        self.batches = self.predictions = self.dead_letters = 0

    def started(self, settings: StreamSettings, model: str) -> None:
        """The stream runs."""
        self._log.info(
            "stream started",
            source=settings.source,
            model=model,
            sink=settings.sink,
            checkpoint=str(settings.checkpoint),
        )

    def batch(self, batch: Batch) -> None:
        """A micro-batch is in the sink."""
        self.batches += 1
        self.predictions += batch.predictions
        self.dead_letters += batch.dead_letters
        self._log.info(
            "batch",
            batch_id=batch.batch_id,
            images=batch.images,
            predictions=batch.predictions,
            dead_letters=batch.dead_letters,
            seconds=round(batch.seconds, 3),
            images_per_second=round(batch.images / batch.seconds, 1),
        )

    def ended(self) -> None:
        """The stream has ended as it was asked to."""
        self._log.info(
            "stream ended",
            batches=self.batches,
            images=self.predictions + self.dead_letters,
            predictions=self.predictions,
            dead_letters=self.dead_letters,
            seconds=round(time.monotonic() - self._since, 1),
        )
