"""What a sink is: it takes the outcomes of micro-batches, and keeps the promise it states."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Written:
    """How one micro-batch ended: images = predictions + dead letters."""

    predictions: int
    dead_letters: int


def always() -> None:
    """Says that the sink's checkpoint is its stream's: of a sink that nobody else can have."""


class Sink(ABC):
    """Takes the outcomes of micro-batches. One sink belongs to one checkpoint."""

    @abstractmethod
    def open(self, checkpoint_id: str, still_ours: Callable[[], None] = always) -> None:
        """Prepares the sink for the stream of `checkpoint_id`; called once, before the first `write`.

        `still_ours` raises an error if the stream has lost its checkpoint to another; a sink that promises exactly
        once asks it directly before a batch is decided.

        Raises
        ------
        RequestError
            If the sink holds rows of another checkpoint: their batch ids would be taken for this stream's.
        """

    @abstractmethod
    def write(self, rows: DataFrame, batch_id: int) -> Written | None:
        """Writes the outcomes of one micro-batch (`streaming.results.outcomes`), all or nothing.

        Spark calls with the same `batch_id` again if it was stopped before it noted the batch as done. Returns None
        if the batch was complete already and nothing was done.
        """

    def is_complete(self, batch_id: int) -> bool:
        """Whether `write` would pass over a micro-batch of this number."""
        return False
