"""The health of a stream."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Health:
    """How a stream is. `ready`: it runs, reads its source and writes; else `why` not."""

    live: bool
    ready: bool
    why: str
    model: str
