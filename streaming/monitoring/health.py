"""The health of a stream."""

from __future__ import annotations

from dataclasses import dataclass

STARTING = "it is starting"
"""Why a stream is not ready that has not been started yet; it is alive."""


@dataclass(frozen=True)
class Health:
    """Whether a stream is `live` (supervised) and `ready` (it reads its source and writes), else `why` not."""

    live: bool
    ready: bool
    why: str
    model: str
