"""What went wrong with a stream: the root cause in one line, and whether trying again may help."""

from __future__ import annotations

import re
from dataclasses import dataclass

from streaming.kafka.address import is_kafka
from streaming.kafka.errors import explain, lasts
from streaming.settings import StreamSettings

_LASTING = (
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
"""What is the same at the next attempt."""

_CONCURRENT = re.compile(r"concurrent stream|CONCURRENT_STREAM_LOG_UPDATE|CONCURRENT_QUERY")


@dataclass(frozen=True)
class Failure:
    """Why a stream broke off.

    Attributes
    ----------
    reason
        One line.
    lasting
        Whether it would break off again in the same way.
    stack
        All that Spark says.
    """

    reason: str
    lasting: bool
    stack: str

    @classmethod
    def of(cls, error: Exception, settings: StreamSettings) -> Failure:
        """What `error` means for the stream of `settings`."""
        said = with_causes(error)
        place = next(filter(is_kafka, (settings.source, settings.sink)), None)
        explained = explain(said, place) if place else None
        lasting = lasts(said) or any(sign in f"{type(error).__name__} {said}" for sign in _LASTING)
        if _CONCURRENT.search(said):
            explained = f"another stream writes to checkpoint {settings.checkpoint}: stop one of them"
        return cls(explained or root_cause(said), lasting, said)


def with_causes(failure: Exception) -> str:
    """What Spark says of a failed query, with the causes in Java that pyspark has but does not print."""
    causes = getattr(getattr(failure, "_cause", None), "_stackTrace", None)
    return f"{failure}\nCaused by: {causes}" if causes else str(failure)


def root_cause(message: str) -> str:
    """The line of a Spark error that says what happened: the innermost Python exception, else the last Java cause."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    # What py4j says is where an error crossed between Java and Python, not what it was; ": " begins what it was.
    python = [line for line in lines if re.match(r"(?!py4j\.)(?:[\w.]*Error|pyspark\.[\w.]*Exception): ", line)]
    java = [cause[1] for line in lines if (cause := re.match(r"(?:Caused by)?: ((?!py4j\.).+)", line))]
    return (python or java or lines[:1])[-1][:500]
