"""Calibration on holdout predictions: a temperature for the confidence, and a threshold for review."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparkdl.models.registry import MIN_REVIEW_THRESHOLD

MIN_REVIEWED = 0.01
"""The minimum share of images to review: out-of-distribution images tend to have the lowest confidences."""
_TEMPERATURES = (0.05, 20.0)
_MIN_PROBABILITY = 1e-12  # replaces a probability of 0 in logarithms


@dataclass(frozen=True)
class HoldoutPredictions:
    """Predictions of K classes for N images that the classifier was not fitted on.

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
        """Return the mean negative logarithm of the true class's probability, scaled by `temperature`."""
        logits = np.log(np.maximum(self.probabilities, _MIN_PROBABILITY)) / temperature
        logits -= logits.max(axis=1, keepdims=True)
        true_logits = logits[np.arange(len(logits)), self.truth]
        return float((np.log(np.exp(logits).sum(axis=1)) - true_logits).mean())

    def temperature(self) -> float:
        """Return the temperature with the lowest log loss, 0.05 to 20."""
        from scipy.optimize import minimize_scalar  # slow to import

        found = minimize_scalar(
            lambda log: self.log_loss(np.exp(log)), bounds=np.log(_TEMPERATURES).tolist(), method="bounded"
        )
        return float(np.exp(found.x))

    def scaled(self, temperature: float) -> HoldoutPredictions:
        """Return the predictions with the probabilities scaled as by `sparkdl.TemperatureScaling`."""
        powers = (self.probabilities / self.probabilities.max(axis=1, keepdims=True)) ** (1 / temperature)
        return HoldoutPredictions(self.truth, powers / powers.sum(axis=1, keepdims=True))

    def threshold(self, error_rate: float) -> Threshold:
        """Return the lowest confidence at which at most `error_rate` of the auto-accepted images are mistakes.

        The threshold is at least 0.5, because below it another class may be as probable, and at least the confidence of
        the least confident hundredth of the images, because out-of-distribution images are seldom more confident. If
        even the most confident images exceed the error rate, it is 1, which accepts only predictions of confidence 1.

        Parameters
        ----------
        error_rate
            0 to 1.
        """
        confidence = self.probabilities.max(axis=1)
        lowest = max(MIN_REVIEW_THRESHOLD, np.quantile(confidence, MIN_REVIEWED, method="lower"))
        order = np.argsort(-confidence, kind="stable")
        descending = confidence[order]
        errors = np.cumsum(self.probabilities.argmax(axis=1)[order] != self.truth[order])
        count = np.arange(1, len(order) + 1)
        last_of_equals = np.append(descending[1:] < descending[:-1], True)
        good = np.flatnonzero(last_of_equals & (descending >= lowest) & (errors <= error_rate * count))
        threshold = float(descending[good[-1]]) if len(good) else 1.0
        return Threshold(threshold, error_rate, float((confidence >= threshold).mean()), len(order))


@dataclass(frozen=True)
class Threshold:
    """The confidence below which a prediction needs review.

    Attributes
    ----------
    confidence
        The threshold, 0 to 1.
    error_rate
        The allowed error rate of the auto-accepted images.
    coverage
        The share of the holdout images with at least that confidence.
    images
        The number of holdout images.
    """

    confidence: float
    error_rate: float
    coverage: float
    images: int
