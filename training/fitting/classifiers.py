"""The classifier of a recipe: any of Spark ML's that gives probabilities; what it says of unseen images."""

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
from sklearn.model_selection import StratifiedKFold

from sparkdl.errors import RequestError, unknown
from training.fitting.recipes import Recipe
from training.fitting.thresholds import OutOfSample

CLASSIFIERS: dict[str, type[Estimator[Any]]] = {
    name: getattr(classification, name)
    for name in (
        "DecisionTreeClassifier",
        "FMClassifier",
        "GBTClassifier",
        "LogisticRegression",
        "MultilayerPerceptronClassifier",
        "NaiveBayes",
        "RandomForestClassifier",
    )
}
"""The classifiers of Spark ML that give probabilities. FMClassifier and GBTClassifier take two classes only."""

FOLDS = 3


def check_classifier(recipe: Recipe) -> None:
    """Raises a RequestError unless there is a classifier of the recipe's name; needs no Spark."""
    if recipe.classifier not in CLASSIFIERS:
        raise unknown("classifier", recipe.classifier, CLASSIFIERS)


def classifier_of(recipe: Recipe, seed: int) -> Estimator[Any]:
    """The recipe's classifier, from the columns `features` and `label`.

    Raises
    ------
    RequestError
        If there is no such classifier, or it has no such Param, or it takes no such value.
    """
    check_classifier(recipe)
    made: Any = CLASSIFIERS[recipe.classifier]()
    shared = {
        "maxIter": recipe.max_iter,
        "regParam": recipe.reg_param[0],
        "elasticNetParam": recipe.elastic_net_param,
        "seed": seed,
    }
    for name, value in shared.items():
        if made.hasParam(name):
            made.set(made.getParam(name), value)
    for name, words in recipe.classifier_params.items():
        if not made.hasParam(name):
            raise unknown(f"Param of {recipe.classifier}", name, [param.name for param in made.params])
        try:
            made.set(made.getParam(name), _value(words))
        except (TypeError, ValueError) as error:
            raise RequestError(f"--set classifier.{name}: {error}") from error
    return made  # type: ignore[no-any-return]


def fit_classifier(classifier: Estimator[Any], rows: DataFrame) -> Any:
    """The fitted classifier; a RequestError with Spark's own reason if it cannot learn from these rows."""
    try:
        return classifier.fit(rows)
    except (CapturedException, Py4JJavaError) as error:
        cause = str(error.java_exception if isinstance(error, Py4JJavaError) else error).splitlines()[0]
        raise RequestError(f"{type(classifier).__name__} cannot be fitted: {shorten(cause, 200)}") from error


def _value(words: str) -> Any:
    """JSON as what it stands for; other words as they are."""
    try:
        return json.loads(words)
    except ValueError:
        return words


def validate(
    features: DataFrame, recipe: Recipe, seed: int, held_out: Collection[str] | None = None
) -> tuple[Recipe, OutOfSample | None]:
    """The recipe with one value of `reg_param`, and what its classifier says of images that it was not fitted on.

    Of several values, the one of the least log loss is taken, at the temperature that is best for it. An image and its
    altered copies are on one side always; what is predicted are the images as they are.

    Parameters
    ----------
    features
        Cached rows `id, label, features`, and `copy` where there are altered ones, numbered from 1.
    held_out
        The ids of the images to predict, by a classifier of all others; None for all of them, in stratified folds. It
        is for features that the other images have shaped.

    Returns
    -------
    None in place of the predictions if a class has too few images to leave any of them out; then the first of several
    values is taken.
    """
    plain = features.where("copy = 0") if "copy" in features.columns else features
    rows = plain.select("id", "label").orderBy("id").collect()
    folds = _folds([row.id for row in rows], [row.label for row in rows], seed, held_out)
    if folds is None:
        return _with(recipe, recipe.reg_param[0]), None
    table = features.sparkSession.createDataFrame(list(folds.items()), "id string, fold int")
    parts = features.join(F.broadcast(table), "id")
    found = {
        value: _out_of_sample(classifier_of(_with(recipe, value), seed), parts, max(folds.values()))
        for value in recipe.reg_param
    }
    best = min(found, key=lambda value: found[value].log_loss(found[value].temperature()))
    return _with(recipe, best), found[best]


def _with(recipe: Recipe, reg_param: float) -> Recipe:
    return recipe.model_copy(update={"reg_param": (reg_param,)})


def _folds(
    ids: Sequence[str], labels: Sequence[float], seed: int, held_out: Collection[str] | None
) -> dict[str, int] | None:
    """The number of each image's fold, from 1; 0 for one that is never predicted."""
    images = Counter(labels)
    if held_out is not None:
        held = set(held_out)
        left = {label for name, label in zip(ids, labels, strict=True) if name not in held}
        return {name: int(name in held) for name in ids} if held and left == set(images) else None
    folds = min(FOLDS, *images.values())
    if folds < 2:
        return None
    fold_of: dict[str, int] = {}
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed).split(ids, labels)
    for number, (_, held_places) in enumerate(splits, 1):
        fold_of |= {ids[place]: number for place in held_places}
    return fold_of


def _out_of_sample(classifier: Estimator[Any], parts: DataFrame, folds: int) -> OutOfSample:
    tables = []
    for fold in range(1, folds + 1):
        model = fit_classifier(classifier, parts.where(F.col("fold") != fold))
        held = parts.where(F.col("fold") == fold)
        plain = held.where("copy = 0") if "copy" in held.columns else held
        tables.append(
            model.transform(plain).select("label", vector_to_array(F.col("probability")).alias("probability")).toArrow()
        )
    table = pa.concat_tables(tables)
    values = table["probability"].combine_chunks().flatten().to_numpy()
    return OutOfSample(table["label"].to_numpy().astype(np.int64), values.reshape(len(table), -1))
