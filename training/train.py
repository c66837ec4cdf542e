"""One training run, from a data set to a saved and promoted version with its report."""

from __future__ import annotations

import platform
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version as installed_version

from pyspark.sql import SparkSession

from sparkdl.models.registry import ModelVersion, Registry
from training.data.loading import Dataset
from training.evaluation.evaluate import Evaluation, evaluate
from training.fitting.fit import Unreadable, fit, silent
from training.fitting.inknet.trainer import Progress
from training.fitting.recipes import Recipe
from training.reporting.provenance import About
from training.reporting.report import write_report

_LIBRARIES = ("sparkdl-streaming", "pyspark", "numpy", "pillow", "onnx", "onnxruntime", "scikit-learn")


@dataclass(frozen=True)
class Trained:
    """What a training run made, and how long its parts took (seconds)."""

    version: ModelVersion
    evaluation: Evaluation
    unreadable: tuple[Unreadable, ...]
    images: int
    fit_seconds: float
    test_seconds: float


def train(
    spark: SparkSession,
    dataset: Dataset,
    recipe: Recipe,
    registry: Registry,
    *,
    seed: int = 0,
    test_fraction: float = 0.2,
    promote: bool = True,
    progress: Progress = silent,
) -> Trained:
    """Splits `dataset`, fits `recipe` on one part, measures on the other, saves a version and promotes it.

    Raises
    ------
    RequestError
        If the data set cannot be split, or a class has no image that can be decoded.
    """
    part, test = dataset.split(test_fraction, seed)
    start = time.monotonic()
    fitted = fit(spark, part, recipe, seed=seed, progress=progress)
    recipe = fitted.recipe or recipe
    middle = time.monotonic()
    progress("testing", 0, 0)
    review_below = None if fitted.threshold is None else fitted.threshold.confidence
    evaluation = evaluate(spark, fitted.classifier, test, review_below)
    end = time.monotonic()
    images = len(part) - len(fitted.unreadable)
    description = {
        "recipe": recipe.model_dump(mode="json"),
        "input": {"size": recipe.input_size, "normalize_ink": recipe.normalize_ink},
        "data": {
            "address": dataset.address,
            "digest": part.digest(),
            "images": images,
            "test_images": len(test),
            "test_digest": test.digest(),
            "copies": dataset.copies.count,
            "test_fraction": test_fraction,
            "seed": seed,
        },
        "fit_seconds": round(middle - start, 1),
        "review": asdict(fitted.threshold) if fitted.threshold is not None else None,
        "metrics": evaluation.metrics,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _LIBRARIES}},
    }
    about = About(
        f"{len(test)} of the {len(dataset)} images of {dataset.address}, about {test_fraction:g} of each class, "
        f"kept aside before training with seed {seed}, no picture on both sides",
        description,
    )
    version = registry.save(
        fitted.classifier,
        recipe.name,
        description,
        lambda directory: write_report(directory, evaluation, test, about),
    )
    if promote:
        registry.promote(version.name)
    return Trained(version, evaluation, fitted.unreadable, images, middle - start, end - middle)


def _version(library: str) -> str | None:
    try:
        return installed_version(library)
    except ModuleNotFoundError:
        return None
