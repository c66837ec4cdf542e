"""The log of a stream: one line per micro-batch, and totals at the end."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path

import structlog

from sparkdl.system.left_out import LeftOut, Why
from sparkdl.system.terminal import printable
from streaming.failures import Failure
from streaming.monitoring.observer import Batch, Observer

_MAX_PATH = 1000  # characters
_TOLD = (Why.TEMPORARY, Why.IGNORED, Why.NOT_REGULAR)
"""The reasons whose files the log names. Hidden files are too volatile, and `not_listed` logs the unreadable ones."""


class BatchLog(Observer):
    """Logs to stderr: coloured text on a terminal, without colour if `NO_COLOR` is set; JSON lines otherwise.

    Parameters
    ----------
    debug
        Whether to log the full text of Spark for a failure.
    quiet
        Whether to log warnings and errors only.
    """

    def __init__(self, *, debug: bool = False, quiet: bool = False) -> None:
        self._debug = debug
        renderers: list[structlog.typing.Processor] = (
            [_harmless, structlog.dev.ConsoleRenderer(colors=not os.environ.get("NO_COLOR"), pad_event_to=16)]
            if sys.stderr.isatty()
            else [structlog.processors.JSONRenderer()]
        )
        self._log = structlog.wrap_logger(
            structlog.PrintLogger(sys.stderr),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                *renderers,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING if quiet else logging.INFO),
        )
        self._since = time.monotonic()
        self._told: set[Why] = set()
        self.batches = self.predictions = self.dead_letters = 0

    def repaired(self, path: Path) -> None:
        self._log.warning("checkpoint repaired", file=str(path), reason="cut in the middle of a write")

    def started(self, source: str, sink: str, checkpoint: Path, model: str) -> None:
        self._log.info(
            "stream started",
            source=source,
            model=model,
            sink=sink,
            checkpoint=str(checkpoint),
        )

    def answers(self, address: str) -> None:
        """Log the URLs of health and metrics below `address`."""
        self._log.info("answering", livez=f"{address}/livez", readyz=f"{address}/readyz", metrics=f"{address}/metrics")

    def batch(self, batch: Batch) -> None:
        self.batches += 1
        self.predictions += batch.predictions
        self.dead_letters += batch.dead_letters
        latency = (
            {}
            if batch.latency is None
            else {f"latency_{name}": round(getattr(batch.latency, name), 3) for name in ("p50", "p99", "max")}
        )
        self._log.info(
            "batch",
            batch_id=batch.batch_id,
            images=batch.images,
            predictions=batch.predictions,
            dead_letters=batch.dead_letters,
            seconds=round(batch.seconds, 3),
            images_per_second=round(batch.images / batch.seconds, 1),
            **latency,
        )

    def left_out(self, left_out: LeftOut) -> None:
        for why in _TOLD:
            if (named := left_out.reasons.get(why)) and why not in self._told:
                self._told.add(why)
                self._log.info("left out", reason=why.value, count=named.count, names=named.shown)

    def failed(self, failure: Failure, retry: int, wait: float) -> None:
        stack = {"stack": failure.stack} if self._debug else {}
        self._log.warning("stream failed", reason=failure.reason, retry=retry, in_seconds=wait, **stack)

    def model_changed(self, old: str, new: str) -> None:
        self._log.info("model changed", old=old, new=new)

    def model_refused(self, name: str, reason: str) -> None:
        self._log.error("model refused", model=name, reason=reason)

    def model_unreachable(self, model: str, reason: str) -> None:
        self._log.warning("model server does not answer", model=model, reason=reason)

    def ended(self) -> None:
        self._log.info(
            "stream ended",
            batches=self.batches,
            images=self.predictions + self.dead_letters,
            predictions=self.predictions,
            dead_letters=self.dead_letters,
            seconds=round(time.monotonic() - self._since, 1),
        )

    def not_removed(self, how: str, why: str) -> None:
        """Log that a file that was read could not be archived or deleted."""
        self._log.warning(f"a file could not be {how}", why=why, others="not logged")

    def not_listed(self, path: str, reason: str) -> None:
        """Log that a folder or file below the watched directory cannot be listed, so its images are not read."""
        self._log.warning("not listed, so not read", path=path[:_MAX_PATH], reason=reason)


def _harmless(logger: object, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Escape control characters: names and reasons come from untrusted input."""
    return {
        key: printable(value, keep="\n\t" if key == "stack" else "") if isinstance(value, str) else value
        for key, value in event.items()
    }
