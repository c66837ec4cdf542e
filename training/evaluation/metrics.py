"""Precision, recall, F1 and ROC-AUC, with bootstrap intervals."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from training.evaluation.intervals import LEVEL

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]

RESAMPLES = 2000
AVERAGES = tuple(f"{score}_{average}" for average in ("macro", "weighted") for score in ("precision", "recall", "f1"))
_MAX_DRAWS = 4_000_000  # random numbers drawn at once, to bound memory


@dataclass(frozen=True)
class Counts:
    """Counts per class, int64 [..., K]; leading axes are resamples.

    Attributes
    ----------
    hits
        Images of each class that were predicted correctly.
    support, predicted
        Images of each class, and predictions of each class.
    """

    hits: Indices
    support: Indices
    predicted: Indices

    @classmethod
    def of(cls, truth: Indices, predicted: Indices, classes: int) -> Counts:
        """Count N true and N predicted classes, given as indices from 0 to `classes` - 1."""
        return cls(
            *(np.bincount(chosen, minlength=classes) for chosen in (truth[truth == predicted], truth, predicted))
        )

    @property
    def precision(self) -> Floats:
        """The share of each class's predictions that are right; 0 if there are none."""
        return _share(self.hits, self.predicted)

    @property
    def recall(self) -> Floats:
        """The share of each class's images that were predicted correctly; 0 if there are none."""
        return _share(self.hits, self.support)

    @property
    def f1(self) -> Floats:
        """The harmonic mean of precision and recall; 0 if both are 0."""
        return _share(2 * self.hits, self.support + self.predicted)

    def averages(self) -> dict[str, Floats]:
        """Return `AVERAGES`: macro over the classes that occur as a label or a prediction, and weighted by images."""
        occurs = (self.support + self.predicted) > 0
        weights = {"macro": occurs, "weighted": self.support}
        return {
            f"{score}_{average}": np.asarray((getattr(self, score) * weight).sum(axis=-1) / weight.sum(axis=-1))
            for average, weight in weights.items()
            for score in ("precision", "recall", "f1")
        }


def _share(part: Indices, whole: Indices) -> Floats:
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=whole > 0)


def bootstrap_intervals(truth: Indices, predicted: Indices, seed: int = 0) -> dict[str, list[float] | None]:
    """Return 95% bootstrap intervals [low, high] of `AVERAGES`, from `RESAMPLES` resamples of the images.

    The limits are bias-corrected percentiles (B. Efron, Canadian Journal of Statistics 9, 1981, 139-158); with few
    images per class, plain percentiles are too high for precision. An image counts only by its cell of the confusion
    matrix, so right predictions are drawn as multinomial counts per class, and only mistakes one by one.

    Without mistakes, every resample is perfect too and gives no information about other images: all intervals are None.
    """
    wrong = truth != predicted
    if not wrong.any():
        return dict.fromkeys(AVERAGES)
    occurring, indices = np.unique(np.concatenate([truth, predicted]), return_inverse=True)
    classes, n = len(occurring), len(truth)
    truth, predicted = indices[:n], indices[n:]
    cells = np.append(np.bincount(truth[~wrong], minlength=classes), wrong.sum())
    labels, predictions = truth[wrong], predicted[wrong]

    random = np.random.default_rng(seed)
    drawn: list[dict[str, Floats]] = []
    step = max(_MAX_DRAWS // (classes + len(labels)), 1)
    for start in range(0, RESAMPLES, step):
        resamples = min(step, RESAMPLES - start)
        counts = random.multinomial(n, cells / n, size=resamples)
        hits, mistakes = counts[:, :-1], counts[:, -1]
        chosen = random.integers(0, len(labels), mistakes.sum())
        row = np.repeat(np.arange(resamples) * classes, mistakes)

        def tally(of: Indices, row: Indices = row, resamples: int = resamples) -> Indices:
            return np.bincount(row + of, minlength=resamples * classes).reshape(resamples, classes)

        drawn.append(Counts(hits, hits + tally(labels[chosen]), hits + tally(predictions[chosen])).averages())
    found = Counts.of(truth, predicted, classes).averages()
    return {name: _limits(float(found[name]), np.concatenate([part[name] for part in drawn])) for name in AVERAGES}


def _limits(found: float, resampled: Floats) -> list[float]:
    normal = NormalDist()
    below = (np.mean(resampled < found) + np.mean(resampled <= found)) / 2
    shift = 2 * normal.inv_cdf(min(max(float(below), 0.5 / RESAMPLES), 1 - 0.5 / RESAMPLES))
    reach = normal.inv_cdf((1 + LEVEL) / 2)
    low, high = np.quantile(resampled, [normal.cdf(shift - reach), normal.cdf(shift + reach)])
    return [min(float(low), found), max(float(high), found)]


def roc_areas(truth: Indices, probabilities: Floats) -> list[float | None]:
    """Return the area under the ROC curve of each class against the rest; None if either has no image.

    The area is the share of pairs, of an image of the class and another image, in which the first has the higher
    probability; ties count half (Mann-Whitney).
    """
    n = len(truth)
    areas: list[float | None] = []
    for k in range(probabilities.shape[1]):
        of_class = truth == k
        count = int(of_class.sum())
        if not 0 < count < n:
            areas.append(None)
            continue
        column = np.sort(probabilities[:, k])
        scores = probabilities[of_class, k]
        below = (np.searchsorted(column, scores) + np.searchsorted(column, scores, side="right")).sum() / 2
        areas.append(float((below - count * count / 2) / (count * (n - count))))  # minus the pairs within the class
    return areas
