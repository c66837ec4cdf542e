"""Precision, recall, F1 and the area under the ROC curve, and how they vary with the images one happens to have."""

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
_AT_ONCE = 4_000_000  # numbers drawn at once, to bound the memory


@dataclass(frozen=True)
class Counts:
    """What scores are made of, int64 [..., K]; the leading axes are resamples.

    Attributes
    ----------
    hits
        Images of each class that were found.
    labelled, predicted
        Images of each class, and images that it was predicted for.
    """

    hits: Indices
    labelled: Indices
    predicted: Indices

    @classmethod
    def of(cls, truth: Indices, said: Indices, classes: int) -> Counts:
        """The counts of N true and N predicted classes, as indices from 0 to `classes`."""
        return cls(*(np.bincount(chosen, minlength=classes) for chosen in (truth[truth == said], truth, said)))

    @property
    def precision(self) -> Floats:
        """Of the images that each class was predicted for, the share that are of it; 0 where there are none."""
        return _share(self.hits, self.predicted)

    @property
    def recall(self) -> Floats:
        """Of the images of each class, the share that was found; 0 where there are none."""
        return _share(self.hits, self.labelled)

    @property
    def f1(self) -> Floats:
        """The harmonic mean of precision and recall, 0 where both are."""
        return _share(2 * self.hits, self.labelled + self.predicted)

    def averages(self) -> dict[str, Floats]:
        """`AVERAGES`: over the classes that occur as a label or as a prediction, and weighted by images."""
        occurs = (self.labelled + self.predicted) > 0
        weights = {"macro": occurs, "weighted": self.labelled}
        return {
            f"{score}_{average}": np.asarray((getattr(self, score) * weight).sum(axis=-1) / weight.sum(axis=-1))
            for average, weight in weights.items()
            for score in ("precision", "recall", "f1")
        }


def _share(part: Indices, whole: Indices) -> Floats:
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=whole > 0)


def bootstrap_intervals(truth: Indices, said: Indices, seed: int = 0) -> dict[str, list[float] | None]:
    """95% intervals [low, high] of `AVERAGES`, by drawing the images again, with replacement, `RESAMPLES` times.

    The limits are bias-corrected percentiles of the resamples (B. Efron, Canadian Journal of Statistics 9, 1981,
    139-158): of few images a class, plain ones are too high for precision. An image matters by its cell of the
    confusion matrix alone, so the right ones are drawn as multinomial counts a class, and only the mistakes one by one.

    Without a mistake among the images each resample is perfect too, and says nothing about what others would show:
    then all are None.
    """
    wrong = truth != said
    if not wrong.any():
        return dict.fromkeys(AVERAGES)
    kept, indices = np.unique(np.concatenate([truth, said]), return_inverse=True)
    classes, n = len(kept), len(truth)
    truth, said = indices[:n], indices[n:]
    cells = np.append(np.bincount(truth[~wrong], minlength=classes), wrong.sum())
    labels, predictions = truth[wrong], said[wrong]

    random = np.random.default_rng(seed)
    drawn: list[dict[str, Floats]] = []
    step = max(_AT_ONCE // (classes + len(labels)), 1)
    for start in range(0, RESAMPLES, step):
        resamples = min(step, RESAMPLES - start)
        counts = random.multinomial(n, cells / n, size=resamples)
        hits, mistakes = counts[:, :-1], counts[:, -1]
        chosen = random.integers(0, len(labels), mistakes.sum())
        row = np.repeat(np.arange(resamples) * classes, mistakes)

        def tally(of: Indices, row: Indices = row, resamples: int = resamples) -> Indices:
            return np.bincount(row + of, minlength=resamples * classes).reshape(resamples, classes)

        drawn.append(Counts(hits, hits + tally(labels[chosen]), hits + tally(predictions[chosen])).averages())
    found = Counts.of(truth, said, classes).averages()
    return {name: _limits(float(found[name]), np.concatenate([part[name] for part in drawn])) for name in AVERAGES}


def _limits(found: float, resampled: Floats) -> list[float]:
    normal = NormalDist()
    below = (np.mean(resampled < found) + np.mean(resampled <= found)) / 2
    shift = 2 * normal.inv_cdf(min(max(float(below), 0.5 / RESAMPLES), 1 - 0.5 / RESAMPLES))
    reach = normal.inv_cdf((1 + LEVEL) / 2)
    low, high = np.quantile(resampled, [normal.cdf(shift - reach), normal.cdf(shift + reach)])
    return [min(float(low), found), max(float(high), found)]


def roc_areas(truth: Indices, probabilities: Floats) -> list[float | None]:
    """The area under the ROC curve of each class against the rest; None where either has no image.

    It is the share of pairs of an image of the class and another one in which the first has the higher probability,
    ties counted half (Mann-Whitney).
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
        areas.append(float((below - count * count / 2) / (count * (n - count))))  # less the pairs within the class
    return areas
