"""How long one image may take, after what the images before it have taken: a state and its transitions, no clock.

An image that is decoded in less than a tenth of the timeout is honest work. Every other one adds to the strikes of
its worker the share of its limit that it used, one where it used all of it, and each strike quarters the limit: with
30 s, the next images that time out take 30, 7.5, 1.9 and 0.47 s, then 0.25 s each. A strike is forgiven in two
timeouts. So a worker spends at most 1.33 timeouts on images that are too slow before the limit is at its least, in the
long run at most half of its time above that, and some minutes after the last of them the limit is the timeout again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

_FACTOR = 4.0
"""By what a strike divides the limit."""
_HONEST_SHARE = 1 / 10
"""Of the timeout: below it an image counts as work. A picture of 50 megapixels takes up to 2 s in any format."""
_LEAST_SHARE = 1 / 120
"""Of the timeout: the least limit. With 30 s it is 0.25 s, twice what a JPEG of 24 megapixels takes."""
LEAST = 0.25
"""Seconds below which no limit shrinks: a busy machine is no slow image."""
_FORGIVEN_IN = 2.0
"""Timeouts in which a strike is forgiven."""


@dataclass(frozen=True)
class Patience:
    """The limit of time of a worker's next image.

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

    @property
    def least(self) -> float:
        """Seconds that every image may take."""
        return min(max(self.timeout * _LEAST_SHARE, LEAST), self.timeout)

    def limit(self, now: float) -> float:
        """Seconds that an image which begins now may take."""
        return max(self.timeout * math.pow(_FACTOR, -self._strikes(now)), self.least)

    def after(self, held: float, limit: float, now: float) -> Patience:
        """What is left after an image that took `held` seconds of its `limit`."""
        if not self.shrinks or held < min(self.honest, limit):
            return self
        most = math.log(self.timeout / self.least, _FACTOR)
        return replace(self, strikes=min(self._strikes(now) + min(held / limit, 1.0), most), at=now)

    def _strikes(self, now: float) -> float:
        return max(self.strikes - (now - self.at) / (_FORGIVEN_IN * self.timeout), 0.0)
