"""The contract of a source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from streaming.failures import KnownError
    from streaming.spark_conf import Connector


class LabelFrom(StrEnum):
    """Where the true class of an image is read from, if it is known at all."""

    NONE = "none"
    PARENT = "parent"


class AfterRead(StrEnum):
    """What happens to a file once its micro-batch is complete."""

    KEEP = "keep"
    ARCHIVE = "archive"
    DELETE = "delete"


class Source(ABC):
    """Where a stream reads encoded images from.

    A stream calls `check` and `identity` before it starts Spark, `open` at the start of each query (after a failure,
    for another model or another batch size), and `close` once, when it has ended. `str()` is how logs name the source.
    """

    connector: ClassVar[Connector | None] = None
    """What the Spark session must have been started with."""

    repeats_batches: ClassVar[bool] = False
    """Whether a micro-batch of the same number has the same images again after its plan was lost. Where it has not, a
    checkpoint whose last plan was damaged cannot be repaired if the sink has that micro-batch already."""

    has_files: ClassVar[bool] = False
    """Whether `origin` names a local file whose bytes are the image, so that workers can read it themselves."""

    def check(self) -> None:  # noqa: B027 - optional
        """Ask whether the source can be read, without Spark and in less than a second.

        Raises
        ------
        RequestError
            If it is missing, or its options do not belong together.
        SparkdlError
            If a server that would tell does not answer.
        """

    @abstractmethod
    def identity(self) -> str:
        """Return a name that is the same for the same source, however it was addressed.

        A checkpoint keeps it, so that no other source is read with its offsets.
        """

    @abstractmethod
    def open(
        self, spark: SparkSession, checkpoint: Path, batch_size: int, *, include_payload: bool = True
    ) -> DataFrame:
        """Return a streaming DataFrame of `streaming.schemas.INPUT_RECORD`.

        Parameters
        ----------
        spark
            The session of the stream.
        checkpoint
            The stream's directory, where a source can keep progress of its own.
        batch_size
            Images of a micro-batch, at most.
        include_payload
            False only where `has_files`: then `payload` and `size` are null, because workers read the files.
        """

    def close(self, checkpoint: Path) -> None:  # noqa: B027 - optional
        """Finish after the stream has ended as it was asked to."""

    def describe_error(self, message: str) -> KnownError | None:
        """Return what an error of this source means, None if it is not known. `message` is all that Spark says."""
        return None

    def __str__(self) -> str:
        return type(self).__name__
