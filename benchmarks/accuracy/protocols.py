"""The protocols: the recipes, training and test images, and number of runs of each benchmark."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from out_of_distribution import KINDS, draw_kind
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from sparkdl.models.registry import ModelVersion, Registry
from training.data.dataframes import encoded_rows
from training.data.loading import Dataset, open_dataset
from training.evaluation.calibration import calibration
from training.evaluation.comparison import compare
from training.evaluation.evaluate import Evaluation, evaluate
from training.evaluation.intervals import paired_difference
from training.evaluation.metrics import roc_areas
from training.fitting.fit import fit_recipe
from training.fitting.recipes import recipe
from training.train import Trained, train

Figures = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """The environment of the protocols.

    Attributes
    ----------
    home
        The directory with `numta500`, `numta28.npz`, `isi500` and `numtadb`.
    scratch
        The directory for saved models.
    log
        Receives a line for each result.
    """

    spark: SparkSession
    home: Path
    scratch: Path
    log: Callable[[str], None]

    def data(self, name: str) -> Dataset:
        return open_dataset(str(self.home / name))

    def train(self, dataset: Dataset, name: str, *settings: str, seed: int = 0, test_fraction: float = 0.1) -> Trained:
        """Train the recipe `name` as `sparkdl train` does."""
        registry = Registry(self.scratch / "models")
        trained = train(
            self.spark, dataset, recipe(name, settings), registry, seed=seed, test_fraction=test_fraction, promote=False
        )
        self.log(f"{name} on {trained.images} images of {dataset.address}: {summarize(trained.evaluation)}")
        return trained

    def test(self, version: ModelVersion, dataset: Dataset) -> Evaluation:
        evaluation = evaluate(self.spark, version.load(), dataset, version.review_below)
        self.log(f"{version.name} on {dataset.address}: {summarize(evaluation)}")
        return evaluation


def summarize(evaluation: Evaluation) -> str:
    return f"accuracy {evaluation.metrics['accuracy']:.4f} on {evaluation.metrics['n']}"


def test_figures(evaluation: Evaluation) -> Figures:
    """Return the figures of one test."""
    m = evaluation.metrics
    return {
        **{name: m[name] for name in ("n", "accuracy", "accuracy_interval", "precision_weighted", "f1_weighted")},
        "roc_auc": m["roc_auc"],
        "ece": m["calibration"]["ece"],
        "ece_if_calibrated": m["calibration"]["ece_if_calibrated"]["mean"],
        "review": m["review"],
    }


def label_roc_auc(evaluation: Evaluation) -> float:
    """Return the mean one-versus-rest ROC-AUC of the predicted classes alone, as the notebook of 2019 computed it.

    Each probability is 0 or 1, so each curve has one point, and the area is the mean of recall and specificity.
    """
    hard = np.eye(len(evaluation.classes))[evaluation.predicted]
    areas = [area for area in roc_areas(evaluation.truth, hard) if area is not None]
    return statistics.mean(areas)


def split_figures(splits: list[Trained]) -> Figures:
    """Return means and standard deviations over splits, and calibration and review over all their test images."""
    columns = {
        name: [trained.evaluation.metrics[name] for trained in splits]
        for name in ("accuracy", "precision_weighted", "recall_weighted", "f1_weighted", "roc_auc")
    }
    columns["roc_auc_of_labels"] = [label_roc_auc(trained.evaluation) for trained in splits]
    columns["fit_seconds"] = [trained.fit_seconds for trained in splits]
    evaluations = [trained.evaluation for trained in splits]
    truth, predicted, probabilities = (
        np.concatenate([getattr(evaluation, name) for evaluation in evaluations])
        for name in ("truth", "predicted", "probabilities")
    )
    calibrated = calibration(truth, predicted, probabilities)
    accepted_parts = [e.confidences >= e.review_below for e in evaluations if e.review_below is not None]
    accepted = np.concatenate([np.zeros(0, bool), *accepted_parts])
    has_threshold = len(accepted) == len(truth)
    return {
        "splits": len(splits),
        "images": splits[0].images,
        "n": len(evaluations[0].names),
        **{name: [statistics.mean(values), statistics.stdev(values)] for name, values in columns.items()},
        "ece": calibrated["ece"],
        "ece_if_calibrated": calibrated["ece_if_calibrated"]["mean"],
        "coverage": float(accepted.mean()) if has_threshold else None,
        "error": float((truth != predicted)[accepted].mean()) if has_threshold else None,
    }


def few(bench: Bench, name: str) -> Figures:
    """Run the notebook's protocol: 390 training images and 110 test images, ten splits."""
    dataset = bench.data("numta500")
    return split_figures([bench.train(dataset, name, seed=seed, test_fraction=0.22) for seed in range(10)])


def many(bench: Bench) -> Figures:
    """Train on nine tenths of 29,500 images; test on the rest, on other sources, and out of distribution."""
    dataset = bench.data("numta28.npz")
    versions: dict[str, ModelVersion] = {}
    found: Figures = {}
    for name in ("digits-large", "digits"):
        trained = bench.train(dataset, name, *(["augmentations=0"] if name == "digits" else []))
        versions[name] = trained.version
        found[name] = {
            "images": trained.images,
            "fit_seconds": trained.fit_seconds,
            "held out": test_figures(trained.evaluation),
            "isi500": test_figures(bench.test(trained.version, bench.data("isi500"))),
            "numtadb": test_figures(bench.test(trained.version, bench.data("numtadb"))),
            "out_of_distribution": {
                kind: _out_of_distribution(bench, trained.version, draw_kind(kind, 200)) for kind in KINDS
            },
        }
    _, test = dataset.split(0.1, 0)
    for _ in range(5):
        for name, version in versions.items():
            speed = bench.test(version, test).metrics["throughput"]["images_per_second"]
            found[name].setdefault("images_per_second", []).append(speed)
    return found


def _out_of_distribution(bench: Bench, version: ModelVersion, dataset: Dataset) -> Figures:
    """Return the share of images that a model auto-accepts, and its mean confidence."""
    threshold = version.review_below
    assert threshold is not None  # thousands of training images leave enough for one
    rows = version.load().classify(encoded_rows(bench.spark, dataset))
    confidences = [row.confidence for row in rows.select(F.col("confidence")).collect()]
    accepted = sum(confidence >= threshold for confidence in confidences)
    bench.log(f"{version.name}: auto-accepts {accepted} of {len(dataset)} {dataset.address}")
    return {
        "n": len(confidences),
        "coverage": accepted / len(confidences),
        "mean_confidence": statistics.mean(confidences),
    }


def curve(bench: Bench) -> Figures:
    """Measure accuracy by training images per class, tested on the same tenth of `numta28.npz`."""
    everything, test = bench.data("numta28.npz").split(0.1, 0)
    plan = {
        "digits": {5: 5, 10: 5, 39: 3, 100: 1, 500: 1},
        "digits-large": {39: 1, 100: 1, 500: 1},
    }
    found: Figures = {}
    for name, splits in plan.items():
        for size, count in splits.items():
            accuracies = []
            for seed in range(count):
                part = _sample_per_class(everything, size, seed)
                version = _fitted(
                    bench, part, name, seed, *(["augmentations=0"] if name == "digits" and size > 100 else [])
                )
                accuracies.append(bench.test(version, test).metrics["accuracy"])
            found[f"{name} {size}"] = {
                "recipe": name,
                "images_per_class": size,
                "splits": count,
                "accuracy": [statistics.mean(accuracies), statistics.stdev(accuracies) if count > 1 else None],
            }
    return found


def _fitted(bench: Bench, dataset: Dataset, name: str, seed: int, *settings: str) -> ModelVersion:
    """Save a version of the recipe fitted on all of `dataset`."""
    fitted = fit_recipe(bench.spark, dataset, recipe(name, settings), seed=seed)
    review = None if fitted.threshold is None else {"confidence": fitted.threshold.confidence}
    registry = Registry(bench.scratch / "models")
    return registry.save(fitted.classifier, name, {"review": review}, lambda directory: None)


def _sample_per_class(dataset: Dataset, size: int, seed: int) -> Dataset:
    rng = random.Random(seed)
    images = [
        image
        for label in dataset.classes
        for image in rng.sample([image for image in dataset if image.label == label], size)
    ]
    return replace(dataset, images=tuple(images))


def synthetic(bench: Bench) -> Figures:
    """Train on synthetic digits only, test on real ones."""
    found: Figures = {}
    for name, size in (("digits", 50), ("digits-large", 1000)):
        version = _fitted(bench, open_dataset(f"samples:{size}"), name, 0)
        found[name] = {
            "images": 10 * size,
            **{test: test_figures(bench.test(version, bench.data(test))) for test in ("numta500", "isi500", "numtadb")},
        }
    return found


def quantization(bench: Bench) -> Figures:
    """Compare `digits` with an INT8 and a float32 network: three splits, the same images for both."""
    few, others = bench.data("numta500"), bench.data("numta28.npz")
    tested = replace(others, images=others.images[::5])
    first = second = neither = both = 0
    for seed in range(3):
        floats, ints = (
            bench.test(bench.train(few, "digits", *settings, seed=seed, test_fraction=0.22).version, tested)
            for settings in ((), ("precision=int8",))
        )
        found = compare("int8", ints, "float32", floats).figures
        first, second = first + found["only_model_right"], second + found["only_against_right"]
        neither, both = neither + found["both_wrong"], both + found["both_right"]
    n = first + second + neither + both
    return {
        "n": n,
        "splits": 3,
        "float32": (both + second) / n,
        "int8": (both + first) / n,
        "difference": (first - second) / n,
        "difference_interval": paired_difference(first, second, n),
    }


PROTOCOLS: Mapping[str, Callable[[Bench], Figures]] = {
    "few-digits": partial(few, name="digits"),
    "few-original": partial(few, name="original"),
    "many": many,
    "curve": curve,
    "synthetic": synthetic,
    "quantization": quantization,
}
