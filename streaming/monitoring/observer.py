"""The events of a stream, and the contract of an observer: the log, metrics, or your own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from sparkdl.system.left_out import LeftOut
    from streaming.batch_stats import BatchStats, Latency
    from streaming.failures import Failure


@dataclass(frozen=True)
class Batch:
    """One finished micro-batch.

    Attributes
    ----------
    seconds
        The time to classify and write the micro-batch.
    latency
        The latency of its images; None if it is not known.
    """

    batch_id: int
    predictions: int
    dead_letters: int
    seconds: float
    latency: Latency | None = None

    @staticmethod
    def of(batch_id: int, stats: BatchStats, seconds: float) -> Batch:
        """Return the micro-batch of these counts."""
        return Batch(batch_id, stats.predictions, stats.dead_letters, seconds, stats.latency)

    @property
    def images(self) -> int:
        return self.predictions + self.dead_letters


class Observer:
    """Receiver of a stream's events. Override the events that you need.

    `batch` may be called on the thread of the query, the others are called on the thread of the supervisor. An
    exception in an observer fails the stream.
    """

    def repaired(self, path: Path) -> None:
        """A file of the checkpoint was truncated by a power failure, and was removed or replaced."""

    def started(self, source: str, sink: str, checkpoint: Path, model: str) -> None:
        """The first query was started; `source` and `sink` are their names, `model` is the version."""

    def batch(self, batch: Batch) -> None:
        """A micro-batch is in the sink."""

    def left_out(self, left_out: LeftOut) -> None:
        """The source leaves out other files or folders than it did before; `left_out` has all of them."""

    def failed(self, failure: Failure, retry: int, wait: float) -> None:
        """The stream failed; after `wait` seconds it is restarted, for the `retry`-th time in a row."""

    def model_changed(self, old: str, new: str) -> None:
        """The stream continues with the model version `new`."""

    def model_refused(self, name: str, reason: str) -> None:
        """A promoted version was refused; the stream continues with the current one."""

    def model_unreachable(self, model: str, reason: str) -> None:
        """The server that names the promoted version does not answer; the stream continues with the current one.

        Told at most once in ten minutes.
        """

    def ended(self) -> None:
        """The stream was stopped, or has processed all input."""
