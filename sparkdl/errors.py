"""Errors: a base class, and a class for invalid requests."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SparkdlError(Exception):
    """A run failed. The message says what was wrong, with which value, and what to do."""


class RequestError(SparkdlError, ValueError):
    """The request is invalid: an unknown name, a missing directory, a value out of range.

    The command line reports it in one line and exits with code 2.
    """


def unknown(kind: str, received: str, expected: Iterable[str]) -> RequestError:
    """Return the error for a name outside a closed list, with the nearest names."""
    names = sorted(expected)
    folded = {name.lower(): name for name in names}
    near = [folded[name] for name in difflib.get_close_matches(received.lower(), folded)]
    offer = f"did you mean {' or '.join(near)}?" if near else f"expected one of {', '.join(names)}"
    return RequestError(f"unknown {kind} {received!r}: {offer}")
