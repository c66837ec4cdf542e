"""The protocols: what is trained on what, tested on what, and how often."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from strangers import STRANGERS, strangers

from sparkdl.models.registry import ModelVersion, Registry
from training.data.dataframes import encoded_rows
from training.data.loading import Dataset, open_dataset
from training.evaluation.calibration import calibration
from training.evaluation.comparison import compare
from training.evaluation.evaluate import Evaluation, evaluate
from training.evaluation.intervals import paired_difference
from training.fitting.fit import fit
from training.fitting.recipes import recipe
from training.train import Trained, train

Figures = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """What the protocols share.

    Attributes
    ----------
    home
        The directory with `numta500`, `numta28.npz`, `isi500` and `numtadb`.
    scratch
        Where models are saved.
    say
        Is told each figure as it is found.
    """

    spark: SparkSession
    home: Path
    scratch: Path
    say: Callable[[str], None]

    def data(self, name: str) -> Dataset:
        return open_dataset(str(self.home / name))

    def train(self, dataset: Dataset, name: str, *settings: str, seed: int = 0, test_fraction: float = 0.1) -> Trained:
        """Trains the recipe `name` as `sparkdl train` does."""
        registry = Registry(self.scratch / "models")
        trained = train(
            self.spark, dataset, recipe(name, settings), registry, seed=seed, test_fraction=test_fraction, promote=False
        )
        self.say(f"{name} on {trained.images} images of {dataset.address}: {told(trained.evaluation)}")
        return trained

    def test(self, version: ModelVersion, dataset: Dataset) -> Evaluation:
        evaluation = evaluate(self.spark, version.load(), dataset, version.review_below)
        self.say(f"{version.name} on {dataset.address}: {told(evaluation)}")
        return evaluation


def told(evaluation: Evaluation) -> str:
    return f"accuracy {evaluation.metrics['accuracy']:.4f} on {evaluation.metrics['n']}"


def of_test(evaluation: Evaluation) -> Figures:
    """The figures of one test."""
    m = evaluation.metrics
    return {
        **{name: m[name] for name in ("n", "accuracy", "accuracy_interval", "precision_weighted", "f1_weighted")},
        "roc_auc": m["roc_auc"],
        "ece": m["calibration"]["ece"],
        "ece_if_calibrated": m["calibration"]["ece_if_calibrated"]["mean"],
        "review": m["review"],
    }


def of_draws(draws: list[Trained]) -> Figures:
    """Means and standard deviations over draws; calibration and review over all their test images together."""
    columns = {
        name: [trained.evaluation.metrics[name] for trained in draws]
        for name in ("accuracy", "precision_weighted", "recall_weighted", "f1_weighted", "roc_auc")
    }
    columns["fit_seconds"] = [trained.fit_seconds for trained in draws]
    evaluations = [trained.evaluation for trained in draws]
    truth, said, probabilities = (
        np.concatenate([getattr(evaluation, name) for evaluation in evaluations])
        for name in ("truth", "said", "probabilities")
    )
    calibrated = calibration(truth, said, probabilities)
    sure = [e.confidences >= e.review_below for e in evaluations if e.review_below is not None]
    kept = np.concatenate([np.zeros(0, bool), *sure])
    asked = len(kept) == len(truth)
    return {
        "draws": len(draws),
        "images": draws[0].images,
        "n": len(evaluations[0].names),
        **{name: [statistics.mean(values), statistics.stdev(values)] for name, values in columns.items()},
        "ece": calibrated["ece"],
        "ece_if_calibrated": calibrated["ece_if_calibrated"]["mean"],
        "kept": float(kept.mean()) if asked else None,
        "errors": float((truth != said)[kept].mean()) if asked else None,
    }


def few(bench: Bench, name: str) -> Figures:
    """The notebook's protocol: 390 images to train on, 110 to test on, drawn ten times."""
    dataset = bench.data("numta500")
    return of_draws([bench.train(dataset, name, seed=seed, test_fraction=0.22) for seed in range(10)])


def many(bench: Bench) -> Figures:
    """29,500 images, nine tenths to train on; then images of other sources, and no digits at all."""
    dataset = bench.data("numta28.npz")
    versions: dict[str, ModelVersion] = {}
    found: Figures = {}
    for name in ("digits-large", "digits"):
        trained = bench.train(dataset, name, *(["copies=0"] if name == "digits" else []))
        versions[name] = trained.version
        found[name] = {
            "images": trained.images,
            "fit_seconds": trained.fit_seconds,
            "held out": of_test(trained.evaluation),
            "isi500": of_test(bench.test(trained.version, bench.data("isi500"))),
            "numtadb": of_test(bench.test(trained.version, bench.data("numtadb"))),
            "strangers": {kind: _sure(bench, trained.version, strangers(kind, 200)) for kind in STRANGERS},
        }
    _, test = dataset.split(0.1, 0)
    for _ in range(5):
        for name, version in versions.items():
            speed = bench.test(version, test).metrics["throughput"]["images_per_second"]
            found[name].setdefault("images_per_second", []).append(speed)
    return found


def _sure(bench: Bench, version: ModelVersion, dataset: Dataset) -> Figures:
    """The share that a model is sure enough of to ask for no review."""
    below = version.review_below
    assert below is not None  # it learnt from thousands
    rows = version.load().classify(encoded_rows(bench.spark, dataset))
    confidences = [row.confidence for row in rows.select(F.col("confidence")).collect()]
    sure = sum(confidence >= below for confidence in confidences)
    bench.say(f"{version.name}: sure of {sure} of {len(dataset)} {dataset.address}")
    return {"n": len(confidences), "sure": sure / len(confidences), "mean_confidence": statistics.mean(confidences)}


def curve(bench: Bench) -> Figures:
    """Accuracy against the images a class, all tested on the same tenth of `numta28.npz`."""
    everything, test = bench.data("numta28.npz").split(0.1, 0)
    plan = {
        "digits": {5: 5, 10: 5, 39: 3, 100: 1, 500: 1},
        "digits-large": {39: 1, 100: 1, 500: 1},
    }
    found: Figures = {}
    for name, draws in plan.items():
        for size, count in draws.items():
            accuracies = []
            for seed in range(count):
                part = _of_each_class(everything, size, seed)
                version = _fitted(bench, part, name, seed, *(["copies=0"] if name == "digits" and size > 100 else []))
                accuracies.append(bench.test(version, test).metrics["accuracy"])
            found[f"{name} {size}"] = {
                "recipe": name,
                "images_a_class": size,
                "draws": count,
                "accuracy": [statistics.mean(accuracies), statistics.stdev(accuracies) if count > 1 else None],
            }
    return found


def _fitted(bench: Bench, dataset: Dataset, name: str, seed: int, *settings: str) -> ModelVersion:
    """A version of the recipe fitted on all of `dataset`."""
    fitted = fit(bench.spark, dataset, recipe(name, settings), seed=seed)
    review = None if fitted.threshold is None else {"confidence": fitted.threshold.confidence}
    registry = Registry(bench.scratch / "models")
    return registry.save(fitted.classifier, name, {"review": review}, lambda directory: None)


def _of_each_class(dataset: Dataset, size: int, seed: int) -> Dataset:
    chance = random.Random(seed)
    images = [
        image
        for label in dataset.classes
        for image in chance.sample([image for image in dataset if image.label == label], size)
    ]
    return replace(dataset, images=tuple(images))


def drawn(bench: Bench) -> Figures:
    """Trained on drawn digits alone, tested on real ones."""
    found: Figures = {}
    for name, size in (("digits", 50), ("digits-large", 1000)):
        version = _fitted(bench, open_dataset(f"samples:{size}"), name, 0)
        found[name] = {
            "images": 10 * size,
            **{test: of_test(bench.test(version, bench.data(test))) for test in ("numta500", "isi500", "numtadb")},
        }
    return found


def integers(bench: Bench) -> Figures:
    """`digits` with its network in 8-bit integers against the same in floats: three draws, the same images for both."""
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
        "draws": 3,
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
    "drawn": drawn,
    "integers": integers,
}
