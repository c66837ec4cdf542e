"""The contract of a sink."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sparkdl.errors import RequestError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from streaming.failures import KnownError
    from streaming.readers.base import Reader
    from streaming.spark_conf import Connector


@dataclass(frozen=True)
class BatchStats:
    """The results of one micro-batch: images = predictions + dead letters."""

    predictions: int
    dead_letters: int


def always() -> None:
    """Confirm that the checkpoint is still the stream's, for a sink that only one stream can have."""


class Sink(ABC):
    """Where a stream writes results. One sink belongs to one checkpoint.

    A stream calls `check` and `identity` before it starts Spark, `open` once before the first `write`, and `close` once
    at the end. `str()` is how logs name the sink.
    """

    connector: ClassVar[Connector | None] = None
    """What the Spark session must have been started with."""

    def check(self) -> None:  # noqa: B027 - optional
        """Ask whether the sink can be written, without Spark and in less than a second.

        Raises
        ------
        RequestError
            If it cannot.
        """

    @abstractmethod
    def identity(self) -> str:
        """Return a name that is the same for the same sink, however it was addressed.

        A checkpoint keeps it, so that its batch ids are never used for another sink.
        """

    def open(self, spark: SparkSession, checkpoint_id: str, still_ours: Callable[[], None] = always) -> None:  # noqa: B027
        """Prepare the sink.

        Parameters
        ----------
        spark
            The session of the stream.
        checkpoint_id
            Whose batch ids `write` gets.
        still_ours
            Raises an error if another stream has taken the checkpoint. A sink that promises exactly once calls it
            directly before it commits a micro-batch.

        Raises
        ------
        RequestError
            If the sink holds results of another checkpoint: their batch ids would be taken for this stream's.
        """

    @abstractmethod
    def write(self, results: DataFrame, batch_id: int) -> BatchStats | None:
        """Write the results of one micro-batch, all or nothing.

        Spark repeats a micro-batch with the same `batch_id` if the stream ended before Spark had noted it as done, so
        a sink that promises exactly once must recognize one that it has.

        Parameters
        ----------
        results
            Predictions and dead letters together; `streaming.results.predictions` and `dead_letters` part them.
        batch_id
            From 0.

        Returns
        -------
        None if the micro-batch was complete already and nothing was done.
        """

    def is_complete(self, batch_id: int) -> bool:
        """Whether `write` would skip this micro-batch."""
        return False

    def close(self) -> None:  # noqa: B027 - optional
        """Release what `identity` or `open` holds."""

    def reader(self) -> Reader:
        """Return what reads the sink, for `sparkdl predictions`; needs no Spark.

        Raises
        ------
        RequestError
            If there is nothing to read, or this kind of sink has no reader.
        """
        raise RequestError(f"the sink {self} cannot be read back")

    def describe_error(self, message: str) -> KnownError | None:
        """Return what an error of this sink means, None if it is not known. `message` is all that Spark says."""
        return None

    def __str__(self) -> str:
        return type(self).__name__
