"""Events of a stream, and the contract of those who are told of them: the log, metrics, your own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from streaming.failures import Failure


@dataclass(frozen=True)
class Batch:
    """One finished micro-batch."""

    batch_id: int
    predictions: int
    dead_letters: int
    seconds: float

    @property
    def images(self) -> int:
        return self.predictions + self.dead_letters


class Observer:
    """Is told what happens to a stream; override the events that you need.

    `batch` is called on the query's thread, the others on the supervisor's. What an observer raises fails the stream.
    """

    def repaired(self, path: Path) -> None:
        """A file of the checkpoint was cut in the middle of a write, and was removed."""

    def started(self, source: str, sink: str, checkpoint: Path, model: str) -> None:
        """The first query was started; `source` and `sink` are their names, `model` is the version."""

    def batch(self, batch: Batch) -> None:
        """A micro-batch is in the sink."""

    def failed(self, failure: Failure, retry: int, wait: float) -> None:
        """The stream broke off; it is started again for the `retry`-th time without success after `wait` seconds."""

    def model_changed(self, old: str, new: str) -> None:
        """The stream goes on with the model version `new`."""

    def model_refused(self, name: str, reason: str) -> None:
        """A promoted version was refused; the stream keeps the one that it has."""

    def ended(self) -> None:
        """The stream has ended as it was asked to."""
