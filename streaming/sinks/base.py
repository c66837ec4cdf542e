"""The contract of a sink."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from sparkdl.errors import RequestError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.streaming.readwriter import DataStreamWriter

    from streaming.batch_stats import BatchStats
    from streaming.failures import KnownError
    from streaming.readers.base import Reader
    from streaming.spark_conf import Connector


def always() -> None:
    """The default check for `Sink.open`: the checkpoint always belongs to the stream."""


class Sink(ABC):
    """Where a stream writes results: a `BatchSink` or a `DirectSink`. One sink belongs to one checkpoint.

    A stream calls `check` and `identity` before it starts Spark, `open` once before the first result, and `close` once
    at the end. Logs show `str()` of the sink.
    """

    connector: ClassVar[Connector | None] = None
    """The connector that the Spark session must be started with, if any."""

    def check(self) -> None:  # noqa: B027 - optional
        """Check that the sink can be written, without Spark and in less than a second.

        Raises
        ------
        RequestError
            If the sink cannot be written.
        """

    @abstractmethod
    def identity(self) -> str:
        """Return a name that is the same for every address of the same sink.

        A checkpoint stores it, so that its batch ids are never used for another sink.
        """

    def open(self, spark: SparkSession, checkpoint_id: str, still_ours: Callable[[], None] = always) -> None:  # noqa: B027
        """Prepare the sink.

        Parameters
        ----------
        spark
            The session of the stream.
        checkpoint_id
            The id of the checkpoint that numbers the micro-batches.
        still_ours
            Raises an error if another stream has taken over the checkpoint. An exactly-once sink calls it directly
            before it commits a micro-batch.

        Raises
        ------
        RequestError
            If the sink holds results of another checkpoint, whose batch ids would clash with this stream's.
        """

    def is_complete(self, batch_id: int) -> bool:
        """Whether the sink has this micro-batch already and would skip it."""
        return False

    def close(self) -> None:  # noqa: B027 - optional
        """Release the resources of `identity` and `open`."""

    def reader(self) -> Reader:
        """Return the reader of the sink, for `sparkdl predictions`; needs no Spark.

        Raises
        ------
        RequestError
            If the sink does not exist, or this kind of sink has no reader.
        """
        raise RequestError(f"the sink {self} cannot be read back: name a sink that has a reader, such as parquet:DIR")

    def describe_error(self, message: str) -> KnownError | None:
        """Return the meaning of an error of this sink, None if unknown; `message` is the full text of Spark."""
        return None

    def __str__(self) -> str:
        return type(self).__name__


class BatchSink(Sink):
    """A sink that is handed each micro-batch as a DataFrame."""

    @abstractmethod
    def write(self, results: DataFrame, batch_id: int) -> BatchStats | None:
        """Write the results of one micro-batch, all or nothing.

        Spark repeats a micro-batch with the same `batch_id` if the stream ended before Spark recorded its commit. An
        exactly-once sink must recognize a micro-batch that it already has.

        Parameters
        ----------
        results
            Predictions and dead letters together; `streaming.results.predictions` and `dead_letters` select each kind.
        batch_id
            The number of the micro-batch, from 0.

        Returns
        -------
        The counts; None if the sink already had the micro-batch and wrote nothing.
        """


class DirectSink(Sink):
    """A sink that Spark itself writes to, as a part of the query: at least once, with the least latency."""

    @abstractmethod
    def writer(self, results: DataFrame) -> DataStreamWriter:
        """Return the writer of a streaming DataFrame of results (`streaming.results.results`).

        The stream sets the trigger and the checkpoint, and starts it.
        """
