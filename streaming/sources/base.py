"""The contract of a source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from sparkdl.system.left_out import LeftOut

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from sparkdl.formats.envelopes import Envelope
    from streaming.failures import KnownError
    from streaming.spark_conf import Connector


class LabelFrom(StrEnum):
    """The origin of an image's true class."""

    NONE = "none"
    PARENT = "parent"


class AfterRead(StrEnum):
    """What happens to a file once its micro-batch is complete."""

    KEEP = "keep"
    ARCHIVE = "archive"
    DELETE = "delete"


class Source(ABC):
    """Where a stream reads encoded images from.

    A stream calls `check` and `identity` before it starts Spark, `open` at the start of each query (also after a
    failure, and for another model or batch size), and `close` once at the end. Logs show `str()` of the source.
    """

    connector: ClassVar[Connector | None] = None
    """The connector that the Spark session must be started with, if any."""

    repeats_batches: ClassVar[bool] = False
    """Whether a micro-batch gets the same images again after its plan was lost. Otherwise a checkpoint with a damaged
    last plan cannot be repaired if the sink already has that micro-batch."""

    has_files: ClassVar[bool] = False
    """Whether `origin` is the URI of a local file that holds the image, so that workers can read the file."""

    envelope: Envelope | None = None
    """How `payload` contains the image; None if it is the image. For CloudEvents, the rows have one more column,
    `sparkdl.formats.envelopes.ATTRIBUTES`."""

    def check(self) -> None:  # noqa: B027 - optional
        """Check that the source can be read, without Spark and in less than a second.

        Raises
        ------
        RequestError
            If the source is missing, or its options contradict each other.
        SparkdlError
            If a server that the check needs does not answer.
        """

    @abstractmethod
    def identity(self) -> str:
        """Return a name that is the same for every address of the same source.

        A checkpoint stores it, so that its offsets are never used for another source.
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
            The checkpoint directory, where a source can store its own progress.
        batch_size
            Maximum images per micro-batch.
        include_payload
            False only if `has_files`: then `payload` and `size` are null, because workers read the files.
        """

    def close(self, checkpoint: Path) -> None:  # noqa: B027 - optional
        """Finish, after the stream was stopped or has processed all input."""

    def left_out(self, checkpoint: Path) -> LeftOut:
        """Return what the source leaves out, as of its last listing. A stream asks about once a second."""
        return LeftOut()

    def describe_error(self, message: str) -> KnownError | None:
        """Return the meaning of an error of this source, None if unknown; `message` is the full text of Spark."""
        return None

    def __str__(self) -> str:
        return type(self).__name__
