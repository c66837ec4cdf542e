"""How many images a micro-batch may have, from what an image was seen to cost."""

from __future__ import annotations

FIRST = 256
"""Images a micro-batch, until more is known: they may all be slow, or crash their decoder."""
_SECONDS = 8.0  # that a full micro-batch is to take: long against its fixed costs, short for who waits for its end
_LEAST, _MOST = 32, 16384
_CHANGE = 1.5  # a factor that is worth a new query, which costs as much as some hundred images
_FULL = 0.9  # of the size: a smaller micro-batch tells nothing, and is none that more room would have made larger


class Pace:
    """Keeps the size of micro-batches where a full one takes about 8 seconds.

    Parameters
    ----------
    fixed
        The size, if it is not to be changed.
    """

    def __init__(self, fixed: int | None = None) -> None:
        self.size = fixed or FIRST
        self._fixed = fixed is not None
        self._wanted = self.size
        self._warm = False

    def note(self, images: int, seconds: float) -> None:
        """A micro-batch of so many images took so long, from its first to its last."""
        # In the first one workers start and load the network.
        if self._warm and not self._fixed and images >= _FULL * self.size:
            self._wanted = min(max(round(images / seconds * _SECONDS), _LEAST), _MOST)
        self._warm = True

    @property
    def is_off(self) -> bool:
        """Whether another size would be much better."""
        return max(self._wanted / self.size, self.size / self._wanted) > _CHANGE

    def adjust(self) -> None:
        """Takes the better size."""
        self.size = self._wanted
