"""Spark ML's classifiers: made from a recipe, fitted, and cross-validated."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from textwrap import shorten
from typing import Any

import numpy as np
import pyarrow as pa
from py4j.protocol import Py4JJavaError
from pyspark.errors.exceptions.captured import CapturedException
from pyspark.ml import Estimator, classification
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from sparkdl.errors import RequestError, unknown
from training.fitting.augmented_rows import originals
from training.fitting.recipes import Recipe
from training.fitting.thresholds import HoldoutPredictions

FOLDS = 3


def make_classifier(recipe: Recipe, seed: int) -> Estimator[Any]:
    """Make the recipe's classifier, from the columns `features` and `label`.

    Raises
    ------
    RequestError
        If the classifier has no such Param, or the Param does not accept the value.
    """
    classifier: Any = getattr(classification, recipe.classifier)()
    shared = {
        "maxIter": recipe.max_iter,
        "regParam": recipe.reg_param[0],
        "elasticNetParam": recipe.elastic_net_param,
        "seed": seed,
    }
    for name, value in shared.items():
        if classifier.hasParam(name):
            classifier.set(classifier.getParam(name), value)
    for name, text in recipe.classifier_params.items():
        if not classifier.hasParam(name):
            names = [param.name for param in classifier.params]
            raise unknown(f"Param of {recipe.classifier}", name, names)
        try:
            classifier.set(classifier.getParam(name), _parse(text))
        except (TypeError, ValueError) as error:
            raise RequestError(f"--set classifier.{name}: {error}") from error
    return classifier  # type: ignore[no-any-return]


def _parse(text: str) -> Any:
    """Return the value of a JSON text; return other text unchanged."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def fit_classifier(classifier: Estimator[Any], rows: DataFrame) -> Any:
    """Fit a classifier; raise a `RequestError` with Spark's reason if it cannot be fitted on these rows."""
    try:
        return classifier.fit(rows)
    except (CapturedException, Py4JJavaError) as error:
        cause = str(error.java_exception if isinstance(error, Py4JJavaError) else error).splitlines()[0]
        raise RequestError(f"{type(classifier).__name__} cannot be fitted: {shorten(cause, 200)}") from error


def cross_validate(
    features: DataFrame, recipe: Recipe, seed: int, holdout_ids: Collection[str] | None = None
) -> tuple[Recipe, HoldoutPredictions | None]:
    """Choose the recipe's `reg_param` and make holdout predictions.

    If `reg_param` has several values, the one with the lowest log loss, at its own best temperature, is chosen. An
    image and its augmented versions are always in the same fold; only original images are predicted.

    Parameters
    ----------
    features
        Cached rows `id, label, features`, and `augmentation` if there are augmented versions, numbered from 1.
    seed
        Seed of the folds and of the classifier.
    holdout_ids
        The ids of the images to predict, with a classifier fitted on all others; None to predict all images, in
        stratified folds. Required if the network that computed the features was trained on the other images.

    Returns
    -------
    The recipe with one value of `reg_param`, and the predictions. If a class has too few images for a holdout, the
    recipe has the first value and the predictions are None.
    """
    rows = originals(features).select("id", "label").orderBy("id").collect()
    folds = _assign_folds([row.id for row in rows], [row.label for row in rows], seed, holdout_ids)
    if folds is None:
        return _with_reg_param(recipe, recipe.reg_param[0]), None
    table = features.sparkSession.createDataFrame(list(folds.items()), "id string, fold int")
    parts = features.join(F.broadcast(table), "id")
    found = {
        value: _predict_folds(make_classifier(_with_reg_param(recipe, value), seed), parts, max(folds.values()))
        for value in recipe.reg_param
    }
    best = min(found, key=lambda value: found[value].log_loss(found[value].temperature()))
    return _with_reg_param(recipe, best), found[best]


def _with_reg_param(recipe: Recipe, value: float) -> Recipe:
    return recipe.model_copy(update={"reg_param": (value,)})


def _assign_folds(
    ids: Sequence[str], labels: Sequence[float], seed: int, holdout_ids: Collection[str] | None
) -> dict[str, int] | None:
    """Return each image's fold, from 1; 0 for images used only for fitting. None if no holdout is possible."""
    images = Counter(labels)
    if holdout_ids is not None:
        held = set(holdout_ids)
        left = {label for name, label in zip(ids, labels, strict=True) if name not in held}
        return {name: int(name in held) for name in ids} if held and left == set(images) else None
    folds = min(FOLDS, *images.values())
    if folds < 2:
        return None
    from sklearn.model_selection import StratifiedKFold  # slow to import

    fold_of: dict[str, int] = {}
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed).split(ids, labels)
    for number, (_, held_indices) in enumerate(splits, 1):
        fold_of |= {ids[index]: number for index in held_indices}
    return fold_of


def _predict_folds(classifier: Estimator[Any], parts: DataFrame, folds: int) -> HoldoutPredictions:
    """Predict each fold from 1 to `folds` with a classifier fitted on all other rows."""
    tables = []
    for fold in range(1, folds + 1):
        model = fit_classifier(classifier, parts.where(F.col("fold") != fold))
        predicted = model.transform(originals(parts.where(F.col("fold") == fold)))
        tables.append(predicted.select("label", vector_to_array(F.col("probability")).alias("probability")).toArrow())
    table = pa.concat_tables(tables)
    values = table["probability"].combine_chunks().flatten().to_numpy()
    return HoldoutPredictions(table["label"].to_numpy().astype(np.int64), values.reshape(len(table), -1))
