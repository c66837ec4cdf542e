"""Micro-batch size controller: how many images a micro-batch may have, from the measured time per image."""

from __future__ import annotations

INITIAL = 256
"""Images per micro-batch until a full one was measured: they may all be slow, or crash their decoder."""
_TARGET_SECONDS = 8.0  # of a full micro-batch: long against its fixed costs, short for whoever waits for its end
_MIN, _MAX = 32, 16384
_RESIZE_FACTOR = 1.5  # a change that is worth a new query, which costs as much as some hundred images
_FULL = 0.9  # share of the size from which a micro-batch counts as full; a smaller one tells nothing


class BatchSizer:
    """Keeps micro-batches at the size where a full one takes about 8 seconds.

    Parameters
    ----------
    fixed
        The size in images, if it is not to be changed.

    Attributes
    ----------
    size
        Images per micro-batch, at most.
    """

    def __init__(self, fixed: int | None = None) -> None:
        self.size = fixed or INITIAL
        self._fixed = fixed is not None
        self._target = self.size
        self._warm = False

    def record(self, images: int, seconds: float) -> None:
        """Record how long a micro-batch of so many images took."""
        # During the first one, workers start and load the network.
        if self._warm and not self._fixed and images >= _FULL * self.size:
            self._target = min(max(round(images / seconds * _TARGET_SECONDS), _MIN), _MAX)
        self._warm = True

    @property
    def should_resize(self) -> bool:
        """Whether another size is worth a new query."""
        return max(self._target / self.size, self.size / self._target) > _RESIZE_FACTOR

    def apply(self) -> None:
        """Take the new size."""
        self.size = self._target
