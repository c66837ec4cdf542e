"""How many classes the probabilities of a row have."""

from __future__ import annotations

from collections.abc import Sequence

ALL_CLASSES = 100
"""The probabilities of all classes are kept of up to so many: as JSON, about 5 kB a row."""
FEW_CLASSES = 10
"""How many are kept of more classes: as JSON, a thousand take about 50 kB a row, ten 0.5 kB."""


def entries_kept(classes: Sequence[str] | None) -> int | None:
    """Return the number of most probable classes to keep, if nobody asks for another; None for all."""
    return None if classes is None or len(classes) <= ALL_CLASSES else FEW_CLASSES
