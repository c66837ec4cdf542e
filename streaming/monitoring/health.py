"""The health of a stream."""

from __future__ import annotations

from dataclasses import dataclass

STARTING = "it is starting"
"""Why a stream that has not been started yet is not ready. It is live."""


@dataclass(frozen=True)
class Health:
    """The health of a stream: `live` (supervised) and `ready` (reading and writing); `why` says what is wrong."""

    live: bool
    ready: bool
    why: str
    model: str
