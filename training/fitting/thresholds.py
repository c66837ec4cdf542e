"""Makes confidence mean something: a temperature, and the threshold that keeps an error rate, from unseen images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparkdl.models.registry import MIN_REVIEW_THRESHOLD

LEAST_SURE = 0.01
"""The share of images that is always looked at: pictures that show none of the classes are among such."""
_TEMPERATURES = (0.05, 20.0)
_TINY = 1e-12  # the probability that one of 0 is taken for


@dataclass(frozen=True)
class OutOfSample:
    """What a classifier said of N images that it was not fitted on, of K classes.

    Attributes
    ----------
    truth
        int64 [N]: the true classes, as columns of `probabilities`.
    probabilities
        float64 [N, K], rows sum to 1.
    """

    truth: NDArray[np.int64]
    probabilities: NDArray[np.float64]

    def log_loss(self, temperature: float = 1.0) -> float:
        """The mean negative logarithm of the true class's probability, scaled by `temperature`."""
        logits = np.log(np.maximum(self.probabilities, _TINY)) / temperature
        logits -= logits.max(axis=1, keepdims=True)
        likely = logits[np.arange(len(logits)), self.truth]
        return float((np.log(np.exp(logits).sum(axis=1)) - likely).mean())

    def temperature(self) -> float:
        """That of the least log loss, 0.05 to 20."""
        from scipy.optimize import minimize_scalar  # takes long to load, and a stream needs none of it

        found = minimize_scalar(
            lambda log: self.log_loss(np.exp(log)), bounds=np.log(_TEMPERATURES).tolist(), method="bounded"
        )
        return float(np.exp(found.x))

    def scaled(self, temperature: float) -> OutOfSample:
        """The same with probabilities as `sparkdl.TemperatureScaling` makes them."""
        powers = (self.probabilities / self.probabilities.max(axis=1, keepdims=True)) ** (1 / temperature)
        return OutOfSample(self.truth, powers / powers.sum(axis=1, keepdims=True))

    def threshold(self, error_rate: float) -> Threshold:
        """The lowest confidence at which at most `error_rate` of the images with so much or more are mistakes.

        It is never below 0.5, where another class may be as likely, nor below what the least sure hundredth of the
        images had: what is no image of any class is seldom surer. Where not even the surest images keep to the rate it
        is 1, which keeps those alone that are entirely sure.
        """
        confidence = self.probabilities.max(axis=1)
        lowest = max(MIN_REVIEW_THRESHOLD, np.quantile(confidence, LEAST_SURE, method="lower"))
        order = np.argsort(-confidence, kind="stable")
        descending = confidence[order]
        errors = np.cumsum(self.probabilities.argmax(axis=1)[order] != self.truth[order])
        count = np.arange(1, len(order) + 1)
        last_of_equals = np.append(descending[1:] < descending[:-1], True)
        good = np.flatnonzero(last_of_equals & (descending >= lowest) & (errors <= error_rate * count))
        below = float(descending[good[-1]]) if len(good) else 1.0
        return Threshold(below, error_rate, float((confidence >= below).mean()), len(order))


@dataclass(frozen=True)
class Threshold:
    """The confidence below which a prediction is to be looked at by a person.

    Attributes
    ----------
    confidence
        0 to 1.
    error_rate
        The share of mistakes that was allowed among the predictions that are kept.
    kept
        The share of the images with that confidence or more, of those that it was chosen on.
    images
        How many those were.
    """

    confidence: float
    error_rate: float
    kept: float
    images: int
