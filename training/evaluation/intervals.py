"""95% intervals of a share, and of the difference of two shares of the same images."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

LEVEL = 0.95
_Z = NormalDist().inv_cdf((1 + LEVEL) / 2)
_EDGE = 1e-12  # distance from -1 and 1 where the search for limits starts


def wilson(hits: int, n: int) -> list[float]:
    """Return Wilson's interval [low, high] of a share, at 95%.

    Parameters
    ----------
    hits, n
        `hits` of `n`, 0 <= hits <= n, n >= 1.
    """
    from scipy.stats import binomtest  # slow to import

    interval = binomtest(hits, n).proportion_ci(LEVEL, method="wilson")
    return [float(interval.low), float(interval.high)]


def paired_difference(only_first: int, only_second: int, n: int) -> list[float]:
    """Return Tango's score interval [low, high] of the difference of two shares of the same `n` images, at 95%.

    It excludes 0 exactly if McNemar's test without correction rejects at 5%, and keeps its level with few or no
    discordant images (T. Tango, Statistics in Medicine 17, 1998, 891-908).

    Parameters
    ----------
    only_first, only_second
        Images that only the first classifier predicts correctly, and only the second.
    n
        The number of all images, at least 1.

    Examples
    --------
    >>> [round(limit, 3) for limit in paired_difference(12, 2, 50)]
    [0.061, 0.345]
    """
    found = (only_first - only_second) / n

    def statistic(difference: float) -> float:
        a = 2 * n
        b = -only_first - only_second + (2 * n - only_first + only_second) * difference
        c = -only_second * difference * (1 - difference)
        second = (math.sqrt(max(b * b - 4 * a * c, 0)) - b) / (2 * a)  # the share's estimate under `difference`
        variance = n * (2 * second + difference * (1 - difference))
        gap = only_first - only_second - n * difference
        return gap / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, gap) if gap else 0.0

    return [
        -1.0 if found == -1 else _root(lambda d: min(statistic(d), 2 * _Z) - _Z, _EDGE - 1, found),
        1.0 if found == 1 else _root(lambda d: max(statistic(d), -2 * _Z) + _Z, found, 1 - _EDGE),
    ]


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    from scipy.optimize import brentq  # slow to import

    return float(brentq(function, low, high, xtol=1e-12))


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the p value of McNemar's exact test that two classifiers are equally accurate.

    It is the binomial test on the images that exactly one of the two predicts correctly; it is valid for small numbers.

    Parameters
    ----------
    only_first, only_second
        Images that only the first classifier has right, and only the second.
    """
    from scipy.stats import binomtest  # slow to import

    discordant = only_first + only_second
    return float(binomtest(only_first, discordant).pvalue) if discordant else 1.0
