"""Evaluates a classifier on labelled images."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sparkdl.errors import RequestError
from sparkdl.images.labels import normalize_label
from training.data.dataset import Dataset, UnreadableImage
from training.evaluation.calibration import calibration
from training.evaluation.intervals import wilson
from training.evaluation.metrics import AVERAGES, Counts, bootstrap_intervals, roc_areas

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from sparkdl.inference.classifier import Classifier

MAX_MATRIX_CLASSES = 100
"""Classes up to which the metrics have the confusion matrix; that of 1,000 classes would take 3 MB."""
MAX_CONFUSIONS = 100
"""Kinds of mistakes in the metrics."""
_MAX_NAMES = 20  # in a message


@dataclass(frozen=True)
class Throughput:
    """The speed of a classification.

    Attributes
    ----------
    images
        All images that were read, including those that could not be decoded.
    seconds
        From the first file read to the last prediction on the driver: reading, decoding, the network and the
        classifier; for the first job of a session also the start of its Python workers and loading the network. The
        start of Spark and loading the pipeline are excluded.
    parallelism
        Tasks that Spark ran at once.
    """

    images: int
    seconds: float
    parallelism: int


@dataclass(frozen=True)
class Evaluation:
    """A classifier's predictions for N labelled images of K classes.

    Attributes
    ----------
    classes
        The K names, in the order of the columns of `probabilities`.
    names, labels, predictions
        N image names, true classes and predicted classes.
    probabilities
        float64 [N, K], rows sum to 1.
    unreadable
        Images of the dataset that could not be decoded; they are not among the N.
    throughput
        None if it was not measured.
    review_below
        The review threshold, 0 to 1: predictions with a lower confidence need review. None if the model has none.
    """

    classes: tuple[str, ...]
    names: tuple[str, ...]
    labels: tuple[str, ...]
    predictions: tuple[str, ...]
    probabilities: NDArray[np.float64]
    unreadable: tuple[UnreadableImage, ...] = ()
    throughput: Throughput | None = None
    review_below: float | None = None

    @property
    def confidences(self) -> NDArray[np.float64]:
        """float64 [N]: the probability of the predicted class."""
        return np.asarray(self.probabilities.max(axis=1))

    @cached_property
    def truth(self) -> NDArray[np.int64]:
        """int64 [N]: the true classes, as columns of `probabilities`."""
        return self._indices(self.labels)

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """int64 [N]: the predicted classes, as columns of `probabilities`."""
        return self._indices(self.predictions)

    def _indices(self, names: Sequence[str]) -> NDArray[np.int64]:
        column = {name: k for k, name in enumerate(self.classes)}
        return np.array([column[name] for name in names], np.int64)

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """int64 [K, K]: images by true class (rows) and predicted class (columns)."""
        k = len(self.classes)
        return np.bincount(self.truth * k + self.predicted, minlength=k * k).reshape(k, k)

    def confusions(self, limit: int) -> list[tuple[int, int, int]]:
        """Return true class, predicted class and images of the most frequent mistakes, the most frequent first."""
        wrong = self.confusion - np.diag(np.diag(self.confusion))
        true, predicted = np.nonzero(wrong)
        order = np.argsort(-wrong[true, predicted], kind="stable")[:limit]
        return [(int(true[i]), int(predicted[i]), int(wrong[true[i], predicted[i]])) for i in order]

    @cached_property
    def mistakes(self) -> tuple[int, ...]:
        """The indices of misclassified images, the most confident first."""
        wrong = np.flatnonzero(self.truth != self.predicted)
        return tuple(wrong[np.argsort(-self.confidences[wrong], kind="stable")].tolist())

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The metrics, as written to `metrics.json` and `model.json`; docs/reference/evaluation.md lists the keys.

        Each `*_interval` is [low, high] at 95%: Wilson's interval for shares (`accuracy`, `recall_weighted`, which
        equals it, and a class's `recall`), a bootstrap interval for the others, None if there are no mistakes.
        `*_macro` is the mean over the classes that occur as a label or a prediction; `*_weighted` is weighted by
        images. `roc_auc` is the mean over classes of one class against the rest, None if a class has no image.
        `calibration` comes from `training.evaluation.calibration`. `review` is None without a threshold.
        `confusion_matrix` has a row per true class; None above `MAX_MATRIX_CLASSES` classes. `confusions` has the most
        frequent mistakes.
        """
        n, k = len(self.labels), len(self.classes)
        counts = Counts.of(self.truth, self.predicted, k)
        correct = int(counts.hits.sum())
        accuracy_interval = wilson(correct, n)
        averages = counts.averages()
        intervals = {**bootstrap_intervals(self.truth, self.predicted), "recall_weighted": accuracy_interval}
        areas = roc_areas(self.truth, self.probabilities)
        return {
            "n": n,
            "accuracy": correct / n,
            "accuracy_interval": accuracy_interval,
            **{
                key: value
                for name in AVERAGES
                for key, value in ((name, float(averages[name])), (f"{name}_interval", intervals[name]))
            },
            "roc_auc": _mean_area(areas),
            "calibration": calibration(self.truth, self.predicted, self.probabilities),
            "review": None if self.review_below is None else self._review(self.review_below),
            "throughput": self.throughput
            and {
                "images": self.throughput.images,
                "seconds": self.throughput.seconds,
                "images_per_second": self.throughput.images / self.throughput.seconds,
                "parallelism": self.throughput.parallelism,
            },
            "per_class": {
                name: {
                    "precision": float(counts.precision[i]),
                    "recall": float(counts.recall[i]),
                    "recall_interval": wilson(int(counts.hits[i]), support) if support else None,
                    "f1": float(counts.f1[i]),
                    "roc_auc": areas[i],
                    "support": support,
                }
                for i, (name, support) in enumerate(zip(self.classes, counts.support.tolist(), strict=True))
            },
            "confusion_matrix": self.confusion.tolist() if k <= MAX_MATRIX_CLASSES else None,
            "confusions": [list(found) for found in self.confusions(MAX_CONFUSIONS)],
            "classes": list(self.classes),
            "unreadable": len(self.unreadable),
        }

    def _review(self, threshold: float) -> dict[str, Any]:
        """Return the coverage, the share of auto-accepted predictions, and the error rate among them."""
        accepted = self.confidences >= threshold
        n, wrong = int(accepted.sum()), int((self.truth != self.predicted)[accepted].sum())
        return {
            "threshold": threshold,
            "coverage": n / len(accepted),
            "coverage_interval": wilson(n, len(accepted)),
            "error": wrong / n if n else None,
            "error_interval": wilson(wrong, n) if n else None,
        }

    def rows(self, spark: SparkSession) -> DataFrame:
        """Return the images as rows `id string, label string, prediction string, confidence double, probabilities
        map<string,double>`.
        """
        import pyarrow as pa

        n, k = self.probabilities.shape
        probabilities = pa.MapArray.from_arrays(
            pa.array(np.arange(n + 1) * k, pa.int32()),
            pa.DictionaryArray.from_arrays(np.tile(np.arange(k), n), self.classes).cast(pa.string()),
            pa.array(self.probabilities.ravel()),
        )
        return spark.createDataFrame(
            pa.table(
                {
                    "id": self.names,
                    "label": self.labels,
                    "prediction": self.predictions,
                    "confidence": self.confidences,
                    "probabilities": probabilities,
                }
            )
        )


def weakest_classes(evaluation: Evaluation, limit: int) -> list[str]:
    """Return all classes if they are at most `limit`, else those with images that have the lowest recall."""
    classes = evaluation.metrics["per_class"]
    if len(classes) <= limit:
        return list(classes)
    tested = [name for name, row in classes.items() if row["support"]]
    return sorted(tested, key=lambda name: classes[name]["recall"])[:limit]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MAX_NAMES
    return ", ".join(names[:_MAX_NAMES]) + (f" and {more} more" if more > 0 else "")


def _mean_area(areas: Sequence[float | None]) -> float | None:
    known = [area for area in areas if area is not None]
    return float(np.mean(known)) if len(known) == len(areas) else None


def evaluate(
    spark: SparkSession, classifier: Classifier, dataset: Dataset, review_below: float | None = None
) -> Evaluation:
    """Evaluate `classifier` on `dataset`, with the same code as a stream.

    Parameters
    ----------
    review_below
        The review threshold, 0 to 1, for the coverage and the error rate of the auto-accepted predictions.

    Raises
    ------
    RequestError
        If the dataset has classes that the classifier does not have, or none of its images can be decoded.
    """
    import pyarrow.compute as pc  # Spark and Arrow are imported here so that a wrong request is answered without them
    from pyspark.sql import functions as F

    from training.data.dataframes import encoded_rows

    if classifier.classes is not None:
        _spellings(dataset, classifier.classes)
    rows = classifier.classify(encoded_rows(spark, dataset)).select(
        "id",
        "label",
        "prediction",
        (F.map_keys("probabilities") if classifier.classes is None else F.lit(None)).alias("classes"),
        F.map_values("probabilities").alias("probabilities"),
        "reason",
        "detail",
    )
    start = time.monotonic()
    table = rows.toArrow()
    throughput = Throughput(len(dataset), time.monotonic() - start, spark.sparkContext.defaultParallelism)
    table = table.sort_by("id")
    readable = table["reason"].is_null()
    bad = table.filter(pc.invert(readable)).select(["id", "reason", "detail"]).to_pylist()
    unreadable = tuple(UnreadableImage(row["id"], row["reason"], row["detail"]) for row in bad)
    table = table.filter(readable).combine_chunks()
    if not len(table):
        first = unreadable[0]
        raise RequestError(
            f"{dataset.address}: none of {len(unreadable)} images can be decoded "
            f"(the first, {first.name}: {first.reason}, {first.detail})"
        )
    classes = classifier.classes or tuple(table["classes"][0].as_py())
    spellings = _spellings(dataset, classes)
    values = table["probabilities"].combine_chunks().flatten()
    return Evaluation(
        classes,
        tuple(table["id"].to_pylist()),
        tuple(map(spellings.__getitem__, table["label"].to_pylist())),
        tuple(table["prediction"].to_pylist()),
        values.to_numpy().reshape(len(table), len(classes)),
        unreadable,
        throughput,
        review_below,
    )


def spelled(label: str, known: Sequence[str]) -> str:
    """Return the class of a label in the model's spelling: Unicode can compose the same letters in several ways."""
    if label in known:
        return label
    return next((name for name in known if normalize_label(name) == normalize_label(label)), label)


def _spellings(dataset: Dataset, known: Sequence[str]) -> dict[str, str]:
    """Return the class of each label; raises `RequestError` for labels that the model does not know."""
    spellings = {label: spelled(label, known) for label in dataset.classes}
    unknown_labels = [label for label, name in spellings.items() if name not in known]
    if unknown_labels:
        raise RequestError(
            f"{dataset.address}: the model knows the classes {_listed(known)}, but not {_listed(unknown_labels)}"
        )
    return spellings
