"""The errors of this project: one base, and one kind for requests that cannot be carried out as asked."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SparkdlError(Exception):
    """Something went wrong while running. The message says what, with which value, and what to do."""


class RequestError(SparkdlError, ValueError):
    """The request itself cannot be carried out: an unknown name, a missing directory, a value out of range.

    The command line answers it with one line and exit code 2.
    """


def unknown(kind: str, received: str, expected: Iterable[str]) -> RequestError:
    """The error for a name outside a closed list, offering the nearest names first."""
    names = sorted(expected)
    folded = {name.lower(): name for name in names}
    near = [folded[name] for name in difflib.get_close_matches(received.lower(), folded)]
    offer = f"did you mean {' or '.join(near)}?" if near else f"expected one of {', '.join(names)}"
    return RequestError(f"unknown {kind} {received!r}: {offer}")
