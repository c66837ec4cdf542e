"""Adaptive time limit of one image, based on the times of earlier images: a state and its transitions, without a clock.

An image that is decoded in less than a tenth of the timeout counts as normal. Every slower image adds strikes to its
worker: the share of its limit that it used, which is one if it used all of it. Each strike divides the limit by four:
with 30 s, images that time out take 30, 7.5, 1.9 and 0.47 s, then the minimum, which grows with an image's bytes. A
strike expires in two timeouts. Therefore a worker spends at most 1.33 timeouts on slow images before the limit reaches
its minimum, and in the long run at most half of its time above that. Some minutes after the last slow image the limit
is the timeout again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

_FACTOR = 4.0
"""Divisor of the limit per strike."""
_HONEST_SHARE = 1 / 10
"""Share of the timeout below which an image counts as normal. A picture of 50 megapixels takes up to 2 s in any format,
and up to 3 s in HEIC."""
_MIN_SHARE = 1 / 300
"""Share of the timeout: the minimum limit of an image of no bytes, 0.1 s with 30 s."""
MIN_LIMIT = 0.1
"""Seconds below which no limit shrinks, because a busy machine also slows images down. An image of a megapixel takes at
most 0.03 s in any format but HEIC (0.06 s)."""
BYTES_A_SECOND = 6 << 20
"""Encoded bytes for which the minimum limit grows by one second, which is also its maximum growth. WebP, the slowest
format, decodes photos at 7 MB/s; photos of 24 megapixels take less than a second in any format."""
_FORGIVEN_IN = 2.0
"""Timeouts after which a strike expires."""


@dataclass(frozen=True)
class AdaptiveTimeout:
    """The time limit of a worker's next image.

    Attributes
    ----------
    timeout
        Seconds that an image may take if no slow image came before it.
    shrinks
        Whether slow images shorten the limit.
    strikes
        The strikes at the time `at`; see the module.
    at
        Seconds of a monotonic clock.
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
        """Return the seconds that an image of `size` encoded bytes may always take."""
        return min(max(self.timeout * _MIN_SHARE, MIN_LIMIT) + min(size / BYTES_A_SECOND, 1.0), self.timeout)

    def limit(self, now: float, size: int = 0) -> float:
        """Return the seconds that an image of `size` encoded bytes may take if it begins now."""
        return max(self.timeout * math.pow(_FACTOR, -self._strikes(now)), self.min_limit(size))

    def after(self, held: float, limit: float, now: float) -> AdaptiveTimeout:
        """Return the state after an image that took `held` seconds of its `limit`."""
        if not self.shrinks or held < min(self.honest, limit):
            return self
        max_strikes = math.log(self.timeout / self.min_limit(), _FACTOR)
        return replace(self, strikes=min(self._strikes(now) + min(held / limit, 1.0), max_strikes), at=now)

    def _strikes(self, now: float) -> float:
        return max(self.strikes - (now - self.at) / (_FORGIVEN_IN * self.timeout), 0.0)
