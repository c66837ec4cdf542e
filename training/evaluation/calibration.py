"""Calibration: expected calibration error, reliability bins, Brier score, log loss."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15
_SIMULATED = 1000
_MAX_DRAWS = 4_000_000  # random numbers drawn at once, to bound memory

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
Indices = NDArray[np.int64]


def calibration(truth: Indices, predicted: Indices, probabilities: Floats, seed: int = 0) -> dict[str, Any]:
    """Return calibration metrics of N images and K classes.

    Parameters
    ----------
    truth, predicted
        int64 [N]: true and predicted classes, as columns of `probabilities`.
    probabilities
        float64 [N, K], rows sum to 1. The confidence of an image is its highest probability.
    seed
        Seed of the simulation behind `ece_if_calibrated`.

    Returns
    -------
    `ece`
        The expected calibration error: the mean over images of the distance between the accuracy and the mean
        confidence of their bin, in 15 bins of equal width, upper edges included (Naeini et al. 2015, Guo et al. 2017).
    `ece_equal_mass`
        The same in 15 bins of equally many images.
    `ece_if_calibrated`
        The mean and the 95th percentile of `ece` for a perfectly calibrated classifier with these confidences, by
        simulation. With few images it is far above 0 by chance alone.
    `mean_confidence`, `mean_confidence_right`, `mean_confidence_wrong`
        Of all, right and wrong predictions; None if there are none.
    `brier`
        The mean squared distance between probabilities and truth, summed over classes, 0 to 2.
    `log_loss`
        The mean negative natural logarithm of the true class's probability, which is taken as at least 2.2e-16.
    `bins`
        The edges, images, mean confidence and accuracy of each bin of equal width; the last two are None if it is
        empty.
    """
    confidence, right = probabilities.max(axis=1), truth == predicted
    edges = np.linspace(0, 1, BINS + 1)
    equal_width = np.minimum(np.searchsorted(edges[1:], confidence), BINS - 1)
    true_probability = probabilities[np.arange(len(truth)), truth]
    squares = (probabilities**2).sum(axis=1) - 2 * true_probability + 1
    return {
        "ece": _error(confidence, right, equal_width),
        "ece_equal_mass": _error(confidence, right, _equal_mass(confidence)),
        "ece_if_calibrated": _simulate(confidence, equal_width, seed),
        "mean_confidence": float(confidence.mean()),
        "mean_confidence_right": _mean(confidence[right]),
        "mean_confidence_wrong": _mean(confidence[~right]),
        "brier": float(squares.mean()),
        "log_loss": float(-np.log(np.clip(true_probability, np.finfo(np.float64).eps, None)).mean()),
        "bins": [
            {
                "from": float(edges[b]),
                "to": float(edges[b + 1]),
                "n": int((equal_width == b).sum()),
                "mean_confidence": _mean(confidence[equal_width == b]),
                "accuracy": _mean(right[equal_width == b]),
            }
            for b in range(BINS)
        ],
    }


def _mean(values: NDArray[Any]) -> float | None:
    return float(values.mean()) if len(values) else None


def _error(confidence: Floats, right: Booleans, bins: Indices) -> float:
    return float(np.abs(np.bincount(bins, right - confidence)).sum() / len(bins))


def _equal_mass(confidence: Floats) -> Indices:
    """Return the bin of each image, by the rank of its confidence; equal confidences share a bin."""
    above = np.searchsorted(np.sort(confidence), confidence, side="right")
    return np.asarray(-(-above * BINS // len(confidence)) - 1)


def _simulate(confidence: Floats, bins: Indices, seed: int) -> dict[str, float]:
    order = np.argsort(bins, kind="stable")
    confidence, n = confidence[order], len(order)
    starts = np.flatnonzero(np.diff(bins[order], prepend=-1))
    expected = np.add.reduceat(confidence, starts)
    random = np.random.default_rng(seed)
    step = max(_MAX_DRAWS // n, 1)
    errors = []
    for start in range(0, _SIMULATED, step):
        right = random.random((min(step, _SIMULATED - start), n)) < confidence
        found = np.add.reduceat(right, starts, axis=1, dtype=np.int64)
        errors.append(np.abs(found - expected).sum(axis=1) / n)
    drawn = np.concatenate(errors)
    return {"mean": float(drawn.mean()), "p95": float(np.quantile(drawn, 0.95))}
