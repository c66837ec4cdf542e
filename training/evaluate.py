"""Measures a classifier on labelled images that it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import SparkSession
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support, roc_auc_score

from sparkdl.errors import RequestError
from sparkdl.predictor import Classifier, classify
from training.datasets import Dataset
from training.fit import Unreadable, encoded_rows


@dataclass(frozen=True)
class Evaluation:
    """What a classifier said of N labelled images of K classes.

    Attributes
    ----------
    classes
        The K names, in the order of the columns of `probabilities`.
    names, labels, predictions
        N image names, true classes and predicted classes.
    probabilities
        float64 [N, K], rows sum to 1.
    unreadable
        Images of the data set that did not decode; they are not among the N.
    """

    classes: tuple[str, ...]
    names: tuple[str, ...]
    labels: tuple[str, ...]
    predictions: tuple[str, ...]
    probabilities: NDArray[np.float64]
    unreadable: tuple[Unreadable, ...] = ()

    @property
    def confidences(self) -> NDArray[np.float64]:
        """float64 [N]: the probability of the predicted class."""
        return np.asarray(self.probabilities.max(axis=1))

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The figures, as they are written to `metrics.json` and into `model.json`.

        `accuracy_interval` is Wilson's at 95%; `f1_macro` is the mean over the classes that occur, as a label or as a
        prediction; `roc_auc` is the mean over classes of one against the rest, None where a class has no image;
        `confusion_matrix` has a row a true class.
        """
        n = len(self.labels)
        correct = sum(label == said for label, said in zip(self.labels, self.predictions, strict=True))
        interval = binomtest(correct, n).proportion_ci(0.95, method="wilson")

        def scores(average: str | None, classes: Sequence[str]) -> Any:
            return precision_recall_fscore_support(
                self.labels, self.predictions, labels=classes, average=average, zero_division=0
            )

        weighted = scores("weighted", self.classes)
        macro = scores("macro", sorted({*self.labels, *self.predictions}))
        precision, recall, f1, support = scores(None, self.classes)
        return {
            "n": n,
            "accuracy": correct / n,
            "accuracy_interval": [float(interval.low), float(interval.high)],
            "precision_weighted": float(weighted[0]),
            "recall_weighted": float(weighted[1]),
            "f1_weighted": float(weighted[2]),
            "f1_macro": float(macro[2]),
            "roc_auc": self._roc_auc(),
            "per_class": {
                name: {
                    "precision": float(precision[k]),
                    "recall": float(recall[k]),
                    "f1": float(f1[k]),
                    "support": int(support[k]),
                }
                for k, name in enumerate(self.classes)
            },
            "confusion_matrix": confusion_matrix(self.labels, self.predictions, labels=self.classes).tolist(),
            "classes": list(self.classes),
            "unreadable": len(self.unreadable),
        }

    def _roc_auc(self) -> float | None:
        if set(self.labels) != set(self.classes) or len(self.classes) < 2:
            return None
        truth = np.array(self.labels)
        areas = [roc_auc_score(truth == name, self.probabilities[:, k]) for k, name in enumerate(self.classes)]
        return float(np.mean(areas))


def evaluate(spark: SparkSession, classifier: Classifier, dataset: Dataset) -> Evaluation:
    """Applies `classifier` to `dataset`, as a stream would.

    Raises
    ------
    RequestError
        If the data set has classes that the classifier does not know, or no image of it can be decoded.
    """
    if classifier.classes is not None:
        _check_classes(dataset, classifier.classes)
    rows = classify(encoded_rows(spark, dataset), classifier).drop("payload").collect()
    rows.sort(key=lambda row: str(row.id))
    good = [row for row in rows if row.reason is None]
    unreadable = tuple(Unreadable(row.id, row.reason, row.detail) for row in rows if row.reason is not None)
    if not good:
        first = unreadable[0]
        raise RequestError(
            f"{dataset.address}: none of {len(rows)} images can be decoded "
            f"(the first, {first.name}: {first.reason}, {first.detail})"
        )
    classes = classifier.classes or tuple(good[0].probabilities)
    _check_classes(dataset, classes)
    return Evaluation(
        classes,
        tuple(row.id for row in good),
        tuple(row.label for row in good),
        tuple(row.prediction for row in good),
        np.array([[row.probabilities[name] for name in classes] for row in good]),
        unreadable,
    )


def _check_classes(dataset: Dataset, known: Sequence[str]) -> None:
    strange = [label for label in dataset.classes if label not in known]
    if strange:
        raise RequestError(
            f"{dataset.address}: the model knows the classes {', '.join(known)}, but not {', '.join(strange)}"
        )
