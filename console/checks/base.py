"""A check of the installation or of a service, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from sparkdl.errors import SparkdlError

DISTRIBUTION = "sparkdl-streaming"
"""The name of this project's package."""

PROGRAM_TIMEOUT = 3.0
"""Seconds in which a program, such as `docker`, must answer."""


class State(StrEnum):
    """What a check found."""

    OK = "ok"
    WARN = "warn"
    MISSING = "missing"


@dataclass(frozen=True)
class Finding:
    """The result of a check.

    Attributes
    ----------
    value
        What is there: a version, a path, a number.
    advice
        What to type or to do; empty if all is well.
    """

    state: State
    value: str
    advice: str = ""


@dataclass(frozen=True)
class Question:
    """What the user wants to know.

    Attributes
    ----------
    kafka
        `HOST:PORT` of a broker; None for the local one.
    kafka_config
        The properties file for Kafka clients.
    kafka_directory
        The directory of the local broker; None for the default.
    """

    kafka: str | None = None
    kafka_config: Path | None = None
    kafka_directory: Path | None = None


@dataclass(frozen=True)
class Check:
    """A check.

    Attributes
    ----------
    is_needed
        Whether nothing works without it: what fails is missing, otherwise a warning.
    find
        Does the check, in a thread. It may raise a `SparkdlError`, an `OSError` or an `ImportError`.
    """

    name: str
    is_needed: bool
    find: Callable[[Question], Finding]

    def run(self, question: Question) -> Finding:
        """Return what the check finds; an error becomes a finding with its message."""
        state = State.MISSING if self.is_needed else State.WARN
        try:
            return self.find(question)
        except SparkdlError as error:
            value, _, advice = str(error).partition(": ")
            return Finding(state, value, advice)
        except OSError as error:
            return Finding(state, str(error))
        except ImportError as error:
            return Finding(
                State.MISSING, f"cannot be imported: {error}", f"pip install --force-reinstall {DISTRIBUTION}"
            )


def run_checks(checks: Sequence[Check], question: Question) -> list[Finding]:
    """Return what each check finds; they run at the same time, because some wait for programs and services."""
    with ThreadPoolExecutor(len(checks)) as pool:
        return list(pool.map(lambda check: check.run(question), checks))
