"""Adaptive time limit of one image, from what the images before it took: a state and its transitions, no clock.

An image that is decoded in less than a tenth of the timeout is honest work. Every slower image adds to the strikes of
its worker the share of its limit that it used (one if it used all of it), and each strike quarters the limit: with
30 s, the next images that time out take 30, 7.5, 1.9 and 0.47 s, then the minimum, which grows with an image's
bytes. A strike is forgiven in two timeouts. So a worker spends at most 1.33 timeouts on images that are too slow before
the limit is at its minimum, in the long run at most half of its time above that, and some minutes after the last of
them the limit is the timeout again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

_FACTOR = 4.0
"""Divisor of the limit for each strike."""
_HONEST_SHARE = 1 / 10
"""Share of the timeout: below it an image counts as honest work. A picture of 50 megapixels takes up to 2 s in any
format, and up to 3 s in HEIC."""
_MIN_SHARE = 1 / 300
"""Share of the timeout: the minimum limit of an image of no bytes, 0.1 s with 30 s."""
MIN_LIMIT = 0.1
"""Seconds below which no limit shrinks: a busy machine is no slow image. An image of a megapixel takes 0.03 s at most,
in any format but HEIC (0.06 s)."""
BYTES_A_SECOND = 6 << 20
"""Encoded bytes for which the minimum limit grows by a second, and by no more than one. Photos take 7 MB a second in
WebP, the slowest format, and those of 24 megapixels less than a second in any."""
_FORGIVEN_IN = 2.0
"""Timeouts after which a strike is forgiven."""


@dataclass(frozen=True)
class AdaptiveTimeout:
    """Time limit of a worker's next image.

    Attributes
    ----------
    timeout
        Seconds that an image may take where nothing was wrong before.
    shrinks
        Whether slow images shorten the limit at all.
    strikes
        At the time `at`; see the module.
    at
        Seconds of any clock that never goes back.
    """

    timeout: float
    shrinks: bool = True
    strikes: float = 0.0
    at: float = 0.0

    @property
    def honest(self) -> float:
        """Seconds below which an image adds no strike."""
        return self.timeout * _HONEST_SHARE

    def min_limit(self, size: int = 0) -> float:
        """Return the seconds that an image of `size` encoded bytes may take in any case."""
        return min(max(self.timeout * _MIN_SHARE, MIN_LIMIT) + min(size / BYTES_A_SECOND, 1.0), self.timeout)

    def limit(self, now: float, size: int = 0) -> float:
        """Return the seconds that an image of `size` encoded bytes which begins now may take."""
        return max(self.timeout * math.pow(_FACTOR, -self._strikes(now)), self.min_limit(size))

    def after(self, held: float, limit: float, now: float) -> AdaptiveTimeout:
        """Return the state after an image that took `held` seconds of its `limit`."""
        if not self.shrinks or held < min(self.honest, limit):
            return self
        max_strikes = math.log(self.timeout / self.min_limit(), _FACTOR)
        return replace(self, strikes=min(self._strikes(now) + min(held / limit, 1.0), max_strikes), at=now)

    def _strikes(self, now: float) -> float:
        return max(self.strikes - (now - self.at) / (_FORGIVEN_IN * self.timeout), 0.0)
