"""Measures a classifier on labelled images that it has not seen."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from sparkdl.errors import RequestError
from sparkdl.inference.classifier import Classifier
from training.data.dataframes import encoded_rows
from training.data.loading import Dataset
from training.evaluation.calibration import calibration
from training.evaluation.intervals import wilson
from training.evaluation.metrics import AVERAGES, Counts, bootstrap_intervals, roc_areas
from training.fitting.fit import Unreadable


@dataclass(frozen=True)
class Throughput:
    """How fast images were classified.

    Attributes
    ----------
    images
        All that were read, those that did not decode among them.
    seconds
        From the first file read to the last prediction on the driver: reading, decoding, the network and the
        classifier, and for the first job of a session also the start of its Python workers and the loading of the
        network; not the start of Spark or the loading of the pipeline.
    slots
        Tasks that Spark ran at once.
    """

    images: int
    seconds: float
    slots: int


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
    throughput
        How fast it went; None if that was not measured.
    review_below
        The confidence below which a prediction is to be looked at; None if there is none.
    """

    classes: tuple[str, ...]
    names: tuple[str, ...]
    labels: tuple[str, ...]
    predictions: tuple[str, ...]
    probabilities: NDArray[np.float64]
    unreadable: tuple[Unreadable, ...] = ()
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
    def said(self) -> NDArray[np.int64]:
        """int64 [N]: the predicted classes, as columns of `probabilities`."""
        return self._indices(self.predictions)

    def _indices(self, names: Sequence[str]) -> NDArray[np.int64]:
        column = {name: k for k, name in enumerate(self.classes)}
        return np.array([column[name] for name in names], np.int64)

    @cached_property
    def mistakes(self) -> tuple[int, ...]:
        """The images that were classified wrongly, the most confident first."""
        wrong = np.flatnonzero(self.truth != self.said)
        return tuple(wrong[np.argsort(-self.confidences[wrong], kind="stable")].tolist())

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The figures, as they are written to `metrics.json` and into `model.json`.

        Each `*_interval` is [low, high] at 95%: Wilson's of shares (`accuracy`, `recall_weighted`, which is the same
        figure, and the `recall` of a class), a bootstrap's of the others, None where there is nothing to tell it from.
        `*_macro` are means over the classes that occur, as a label or as a prediction; `*_weighted` over images;
        `roc_auc` is the mean over classes of one against the rest, None where a class has no image; `calibration` is
        told by `training.evaluation.calibration`; `review` is None without a threshold, else says how many predictions
        need none; `confusion_matrix` has a row a true class.
        """
        n, k = len(self.labels), len(self.classes)
        counts = Counts.of(self.truth, self.said, k)
        correct = int(counts.hits.sum())
        accuracy_interval = wilson(correct, n)
        averages = counts.averages()
        intervals = {**bootstrap_intervals(self.truth, self.said), "recall_weighted": accuracy_interval}
        areas = roc_areas(self.truth, self.probabilities)
        matrix = np.bincount(self.truth * k + self.said, minlength=k * k).reshape(k, k)
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
            "calibration": calibration(self.truth, self.said, self.probabilities),
            "review": None if self.review_below is None else self._review(self.review_below),
            "throughput": self.throughput
            and {
                "images": self.throughput.images,
                "seconds": self.throughput.seconds,
                "images_per_second": self.throughput.images / self.throughput.seconds,
                "slots": self.throughput.slots,
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
                for i, (name, support) in enumerate(zip(self.classes, counts.labelled.tolist(), strict=True))
            },
            "confusion_matrix": matrix.tolist(),
            "classes": list(self.classes),
            "unreadable": len(self.unreadable),
        }

    def _review(self, below: float) -> dict[str, Any]:
        """`kept`: the share of predictions with that confidence or more; `errors`: the share of mistakes in those."""
        kept = self.confidences >= below
        n, wrong = int(kept.sum()), int((self.truth != self.said)[kept].sum())
        return {
            "below": below,
            "kept": n / len(kept),
            "kept_interval": wilson(n, len(kept)),
            "errors": wrong / n if n else None,
            "errors_interval": wilson(wrong, n) if n else None,
        }

    def rows(self, spark: SparkSession) -> DataFrame:
        """The images as rows `id string, label string, prediction string, confidence double, probabilities
        map<string,double>`.
        """
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


def _mean_area(areas: Sequence[float | None]) -> float | None:
    known = [area for area in areas if area is not None]
    return float(np.mean(known)) if len(known) == len(areas) else None


def evaluate(
    spark: SparkSession, classifier: Classifier, dataset: Dataset, review_below: float | None = None
) -> Evaluation:
    """Applies `classifier` to `dataset`, as a stream would.

    Parameters
    ----------
    review_below
        The confidence below which a prediction is to be looked at, 0..1; to tell how many that are.

    Raises
    ------
    RequestError
        If the data set has classes that the classifier does not know, or no image of it can be decoded.
    """
    if classifier.classes is not None:
        _check_classes(dataset, classifier.classes)
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
    unreadable = tuple(Unreadable(row["id"], row["reason"], row["detail"]) for row in bad)
    table = table.filter(readable).combine_chunks()
    if not len(table):
        first = unreadable[0]
        raise RequestError(
            f"{dataset.address}: none of {len(unreadable)} images can be decoded "
            f"(the first, {first.name}: {first.reason}, {first.detail})"
        )
    classes = classifier.classes or tuple(table["classes"][0].as_py())
    _check_classes(dataset, classes)
    values = table["probabilities"].combine_chunks().flatten()
    return Evaluation(
        classes,
        tuple(table["id"].to_pylist()),
        tuple(table["label"].to_pylist()),
        tuple(table["prediction"].to_pylist()),
        values.to_numpy().reshape(len(table), len(classes)),
        unreadable,
        throughput,
        review_below,
    )


def _check_classes(dataset: Dataset, known: Sequence[str]) -> None:
    strange = [label for label in dataset.classes if label not in known]
    if strange:
        raise RequestError(
            f"{dataset.address}: the model knows the classes {', '.join(known)}, but not {', '.join(strange)}"
        )
