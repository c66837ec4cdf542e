"""Training run: from a dataset to a saved and promoted version with its report."""

from __future__ import annotations

import platform
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING

from sparkdl.system.extras import require_extra
from training.data.dataset import Dataset, UnreadableImage
from training.evaluation.evaluate import Evaluation, evaluate
from training.fitting.features import check_requirements
from training.fitting.progress import Progress, no_progress
from training.fitting.recipes import Recipe
from training.reporting.provenance import Provenance
from training.reporting.report import write_report

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from sparkdl.models.registry import ModelVersion, Registry

_LIBRARIES = ("sparkdl-streaming", "pyspark", "numpy", "pillow", "onnx", "onnxruntime", "scikit-learn")


@dataclass(frozen=True)
class Trained:
    """The result of a training run.

    Attributes
    ----------
    version
        The saved version.
    evaluation
        The evaluation on the test set.
    unreadable
        Training images that could not be decoded.
    images
        The number of images trained on.
    fit_seconds, test_seconds
        Durations of fitting and of the evaluation.
    """

    version: ModelVersion
    evaluation: Evaluation
    unreadable: tuple[UnreadableImage, ...]
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
    progress: Progress = no_progress,
) -> Trained:
    """Split `dataset`, fit `recipe` on the training set, evaluate it on the test set, save a version and promote it.

    Parameters
    ----------
    seed
        Seed of the split and of fitting, 0 to 4294967295.
    test_fraction
        The share of each class to test on, 0 to 1, both excluded; ignored for a dataset with a test subset.

    Raises
    ------
    RequestError
        If the extra `train`, or one that the recipe needs, is not installed, before any image is read; if the dataset
        cannot be split, a class has no image that can be decoded, or the recipe cannot be fitted.
    SparkdlError
        If training the network or saving the version fails.
    """
    require_extra("train", "training")
    check_requirements(recipe)
    from training.fitting.fit import fit_recipe  # imports Spark's machine learning library

    training_set, test_set = dataset.split(test_fraction, seed)
    start = time.monotonic()
    fitted = fit_recipe(spark, training_set, recipe, seed=seed, progress=progress)
    middle = time.monotonic()
    progress("testing", 0, 0)
    review_below = None if fitted.threshold is None else fitted.threshold.confidence
    evaluation = evaluate(spark, fitted.classifier, test_set, review_below)
    end = time.monotonic()
    images = len(training_set) - len(fitted.unreadable)
    description = {
        "recipe": fitted.recipe.model_dump(mode="json"),
        "input": {"size": fitted.recipe.input_size, "normalize_ink": fitted.recipe.normalize_ink},
        "data": {
            "address": dataset.address,
            "digest": training_set.digest(),
            "images": images,
            "test_images": len(test_set),
            "test_digest": test_set.digest(),
            "duplicates": dataset.duplicates.count,
            **(
                {"test_fraction": test_fraction}
                if dataset.test_subset is None
                else {"test_subset": dataset.test_subset}
            ),
            "seed": seed,
        },
        "fit_seconds": round(middle - start, 1),
        "review": asdict(fitted.threshold) if fitted.threshold is not None else None,
        "metrics": evaluation.metrics,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _LIBRARIES}},
    }
    how = (
        f"about {test_fraction:g} of each class, set aside before training with seed {seed}"
        if dataset.test_subset is None
        else f"the subset {dataset.test_subset} that it comes with"
    )
    provenance = Provenance(
        f"{len(test_set)} of the {len(dataset)} images of {dataset.address}, {how}; no picture is in both sets",
        description,
    )
    version = registry.save(
        fitted.classifier,
        recipe.name,
        description,
        lambda directory: write_report(directory, evaluation, test_set, provenance),
    )
    if promote:
        registry.promote(version.name)
    return Trained(version, evaluation, fitted.unreadable, images, middle - start, end - middle)


def _version(library: str) -> str | None:
    try:
        return installed_version(library)
    except ModuleNotFoundError:
        return None
