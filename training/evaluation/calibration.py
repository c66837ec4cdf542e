"""Whether a classifier is right as often as it says: calibration error, reliability bins, Brier score, log loss."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15
_SIMULATED = 1000
_AT_ONCE = 4_000_000  # numbers drawn at once, to bound the memory

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
Indices = NDArray[np.int64]


def calibration(truth: Indices, said: Indices, probabilities: Floats, seed: int = 0) -> dict[str, Any]:
    """Figures on the probabilities of N images of K classes.

    Parameters
    ----------
    truth, said
        int64 [N], true and predicted classes, as columns of `probabilities`.
    probabilities
        float64 [N, K], rows sum to 1. The confidence of an image is its highest probability.
    seed
        Of the simulation behind `ece_if_calibrated`.

    Returns
    -------
    `ece`: the expected calibration error, the mean over images of the distance between the accuracy and the mean
    confidence of their bin, in 15 bins of confidence of equal width, each with its upper edge (Naeini et al. 2015, Guo
    et al. 2017). `ece_equal_mass`: the same in 15 bins of equally many images. `ece_if_calibrated`: what `ece` a
    classifier with these confidences would show if it were right exactly as often as it says, by simulation: its mean
    and 95th percentile; few images give a high `ece` by chance alone.
    `mean_confidence`, also of the right and of the wrong predictions (None where there are none). `brier`: the mean
    over images of the squared distance between the probabilities and the truth, 0 to 2. `log_loss`: the mean of the
    negative natural logarithm of the true class's probability, taken as at least 2.2e-16. `bins`: of each bin of equal
    width its edges, images, mean confidence and accuracy (None where it is empty).
    """
    confidence, right = probabilities.max(axis=1), truth == said
    edges = np.linspace(0, 1, BINS + 1)
    equal_width = np.minimum(np.searchsorted(edges[1:], confidence), BINS - 1)
    likely = probabilities[np.arange(len(truth)), truth]
    squares = (probabilities**2).sum(axis=1) - 2 * likely + 1
    return {
        "ece": _error(confidence, right, equal_width),
        "ece_equal_mass": _error(confidence, right, _equal_mass(confidence)),
        "ece_if_calibrated": _simulate(confidence, equal_width, seed),
        "mean_confidence": float(confidence.mean()),
        "mean_confidence_right": _mean(confidence[right]),
        "mean_confidence_wrong": _mean(confidence[~right]),
        "brier": float(squares.mean()),
        "log_loss": float(-np.log(np.clip(likely, np.finfo(np.float64).eps, None)).mean()),
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
    """The bin of each image, by the rank of its confidence; equal confidences share a bin."""
    above = np.searchsorted(np.sort(confidence), confidence, side="right")
    return np.asarray(-(-above * BINS // len(confidence)) - 1)


def _simulate(confidence: Floats, bins: Indices, seed: int) -> dict[str, float]:
    order = np.argsort(bins, kind="stable")
    confidence, n = confidence[order], len(order)
    starts = np.flatnonzero(np.diff(bins[order], prepend=-1))
    expected = np.add.reduceat(confidence, starts)
    random = np.random.default_rng(seed)
    step = max(_AT_ONCE // n, 1)
    errors = []
    for start in range(0, _SIMULATED, step):
        right = random.random((min(step, _SIMULATED - start), n)) < confidence
        found = np.add.reduceat(right, starts, axis=1, dtype=np.int64)
        errors.append(np.abs(found - expected).sum(axis=1) / n)
    drawn = np.concatenate(errors)
    return {"mean": float(drawn.mean()), "p95": float(np.quantile(drawn, 0.95))}
