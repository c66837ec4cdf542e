"""Micro-batch size controller: images per micro-batch, from the measured time per image."""

from __future__ import annotations

INITIAL = 256
"""Images per micro-batch before the first measurement: they may all be slow or crash their decoder."""
_TARGET_SECONDS = 8.0  # of a full micro-batch: long compared with its fixed costs, short enough to wait for
_FIXED_SECONDS = 0.2  # of a micro-batch of any size: planning, and publishing its results
_MIN, _MAX = 32, 16384
_RESIZE_FACTOR = 1.5  # smaller changes are not worth a new query, which costs as much as some hundred images
_FULL = 0.9  # a micro-batch with this share of the size counts as full; smaller ones are not measured


class BatchSizer:
    """Keeps micro-batches at the size where a full one takes about 8 seconds.

    Parameters
    ----------
    fixed
        A fixed size in images; by default the size adapts.

    Attributes
    ----------
    size
        Maximum images per micro-batch.
    """

    def __init__(self, fixed: int | None = None) -> None:
        self.size = fixed or INITIAL
        self._fixed = fixed is not None
        self._target = self.size
        self._warm = False

    def record(self, images: int, seconds: float) -> None:
        """Record the size and duration of a micro-batch."""
        # The first micro-batch includes the start of the workers and the loading of the network.
        if self._warm and not self._fixed and images >= _FULL * self.size:
            # A small micro-batch tells little about the fixed part, so at most half of it counts as such.
            per_image = max(seconds - _FIXED_SECONDS, seconds / 2) / images
            self._target = min(max(round((_TARGET_SECONDS - _FIXED_SECONDS) / per_image), _MIN), _MAX)
        self._warm = True

    @property
    def should_resize(self) -> bool:
        """Whether the target size differs enough to be worth a new query."""
        return max(self._target / self.size, self.size / self._target) > _RESIZE_FACTOR

    def apply(self) -> None:
        """Change the size to the target."""
        self.size = self._target
