"""Failures of a stream: the root cause in one line, and whether a retry can help."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
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
"""Parts of error messages that mark a failure as fatal: a retry would fail in the same way."""

_TRACEBACK = "Traceback (most recent call last):"
_CROSSING = re.compile(
    r"(?:py4j\.Py4JException: )?An exception was raised by the Python Proxy\. Return Message: "
    rf"(?:{re.escape(_TRACEBACK)})?"
)
"""The prefix that py4j adds to an error that crosses from Python to Java."""
_OURS = re.compile(r"^(?:sparkdl|streaming)\.[\w.]+: ")
"""The class name of this project's errors, whose messages are complete without it."""

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
"""Returns the meaning of an error, given the full text that Spark reports."""


@dataclass(frozen=True)
class Failure:
    """Why a stream failed.

    Attributes
    ----------
    reason
        The root cause in one line.
    fatal
        Whether a retry would fail in the same way.
    stack
        The full text that Spark reports.
    """

    reason: str
    fatal: bool
    stack: str

    @classmethod
    def of(cls, error: Exception, checkpoint: Path, describers: Iterable[DescribeError] = ()) -> Failure:
        """Return the failure that `error` means for a stream.

        Parameters
        ----------
        error
            The error that the query, or its start, raised.
        checkpoint
            The checkpoint of the stream.
        describers
            The `describe_error` methods of its source and sink.
        """
        said = with_causes(error)
        known = next(filter(None, (describe(said) for describe in describers)), None)
        fatal = (known is not None and known.fatal) or any(sign in f"{type(error).__name__} {said}" for sign in _FATAL)
        if _CONCURRENT.search(said):
            return cls(f"another stream writes to checkpoint {checkpoint}: stop one of them", fatal, said)
        return cls(known.reason if known else root_cause(said), fatal, said)


def with_causes(failure: Exception) -> str:
    """Return the text of a Spark error, including the Java causes that PySpark keeps but does not print."""
    causes = getattr(getattr(failure, "_cause", None), "_stackTrace", None)
    return f"{failure}\nCaused by: {causes}" if causes else str(failure)


def root_cause(message: str) -> str:
    """Return the line of a Spark error that names the root cause: the innermost Python error or the last Java cause.

    The result omits text that only shows how the error crossed between Java and Python (the classes of py4j, "An
    exception was raised by the Python Proxy", the header of a traceback) and the module name of this project's errors.
    """
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    # A line of py4j only shows where an error crossed between Java and Python. ": " starts the message itself.
    java = [cause[1] for line in lines if (cause := re.match(r"(?:Caused by)?: ((?!py4j\.).+)", line))]
    found = (list(_python_errors(message)) or java or lines[:1])[-1]
    return (_OURS.sub("", _CROSSING.sub("", found)).strip() or "an error without a message")[:500]


def _python_errors(message: str) -> Iterator[str]:
    """Yield the lines of a text that name a Python error: those that end a traceback, and others that look like one."""
    in_traceback = False
    for line in message.splitlines():
        if line.rstrip().endswith(_TRACEBACK):
            in_traceback = True
        elif in_traceback and line[:1] not in ("", " ", "\t"):
            in_traceback = False
            if line.startswith("py4j."):
                continue
            # The error may have any name and no message: a bare `assert` gives the name only.
            yield line.strip() if ": " in line else f"{line.strip()}, without a message"
        elif re.match(r"(?!py4j\.)(?:[\w.]*Error|pyspark\.[\w.]*Exception): ", line.strip()):
            yield line.strip()
