"""Failures of a stream: the root cause in one line, and whether a retry can help."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

_FATAL = (
    "AnalysisException",
    "SparkContext was shut down",
    "Cannot call methods on a stopped SparkContext",
    "Py4JNetworkError",  # the driver's JVM has ended
    "OutOfMemoryError",
    "Incomplete log file",
    "the checkpoint is damaged",
    "concurrent stream",
    "CONCURRENT_STREAM_LOG_UPDATE",
)
"""Signs of a failure that would be the same at the next attempt."""

_CONCURRENT = re.compile(r"concurrent stream|CONCURRENT_STREAM_LOG_UPDATE|CONCURRENT_QUERY")


@dataclass(frozen=True)
class KnownError:
    """An error that a source or sink recognizes.

    Attributes
    ----------
    reason
        What happened and what to do, in one line.
    fatal
        Whether a retry would fail in the same way.
    """

    reason: str
    fatal: bool


DescribeError = Callable[[str], KnownError | None]
"""Recognizes an error by all that Spark says of it."""


@dataclass(frozen=True)
class Failure:
    """Why a stream failed.

    Attributes
    ----------
    reason
        One line.
    fatal
        Whether a retry would fail in the same way.
    stack
        All that Spark says.
    """

    reason: str
    fatal: bool
    stack: str

    @classmethod
    def of(cls, error: Exception, checkpoint: Path, describers: Iterable[DescribeError] = ()) -> Failure:
        """Return what `error` means for a stream.

        Parameters
        ----------
        error
            What the query or its start raised.
        checkpoint
            Of the stream.
        describers
            `describe_error` of its source and sink.
        """
        said = with_causes(error)
        known = next(filter(None, (describe(said) for describe in describers)), None)
        fatal = (known is not None and known.fatal) or any(sign in f"{type(error).__name__} {said}" for sign in _FATAL)
        if _CONCURRENT.search(said):
            return cls(f"another stream writes to checkpoint {checkpoint}: stop one of them", fatal, said)
        return cls(known.reason if known else root_cause(said), fatal, said)


def with_causes(failure: Exception) -> str:
    """Return what Spark says of a failed query, with the causes in Java that pyspark has but does not print."""
    causes = getattr(getattr(failure, "_cause", None), "_stackTrace", None)
    return f"{failure}\nCaused by: {causes}" if causes else str(failure)


def root_cause(message: str) -> str:
    """Return the line of a Spark error that says what happened: the innermost Python error, or the last Java cause."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    # What py4j says is where an error crossed between Java and Python, not what it was; ": " begins what it was.
    python = [line for line in lines if re.match(r"(?!py4j\.)(?:[\w.]*Error|pyspark\.[\w.]*Exception): ", line)]
    java = [cause[1] for line in lines if (cause := re.match(r"(?:Caused by)?: ((?!py4j\.).+)", line))]
    return (python or java or lines[:1])[-1][:500]
