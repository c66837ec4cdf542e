"""The classifier of a recipe: any of Spark ML's that gives probabilities; its regularisation by cross-validation."""

from __future__ import annotations

import json
from textwrap import shorten
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.errors.exceptions.captured import CapturedException
from pyspark.ml import Estimator
from pyspark.ml.classification import (
    DecisionTreeClassifier,
    FMClassifier,
    GBTClassifier,
    LogisticRegression,
    MultilayerPerceptronClassifier,
    NaiveBayes,
    RandomForestClassifier,
)
from pyspark.ml.evaluation import MulticlassClassificationEvaluator
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from sklearn.model_selection import StratifiedKFold

from sparkdl.errors import RequestError, unknown
from training.recipes import Recipe

CLASSIFIERS: dict[str, type[Estimator[Any]]] = {
    kind.__name__: kind
    for kind in (
        DecisionTreeClassifier,
        FMClassifier,
        GBTClassifier,
        LogisticRegression,
        MultilayerPerceptronClassifier,
        NaiveBayes,
        RandomForestClassifier,
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


def cross_validate(features: DataFrame, recipe: Recipe, seed: int) -> Recipe:
    """The recipe with one value of `reg_param`: of several, the one of the least log loss over stratified folds.

    An image and its altered copies are in one fold; what is measured are the images as they are.

    Parameters
    ----------
    features
        Cached rows `id, label, features`, and `copy` where there are altered ones, numbered from 1.
    """
    if len(recipe.reg_param) == 1:
        return recipe
    plain = features.where("copy = 0") if "copy" in features.columns else features
    rows = plain.select("id", "label").orderBy("id").collect()
    ids, labels = [row.id for row in rows], [row.label for row in rows]
    fold_of = dict.fromkeys(ids, 0)
    for fold, (_, held) in enumerate(StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(ids, labels)):
        fold_of.update((ids[place], fold) for place in held)
    folds = features.sparkSession.createDataFrame(list(fold_of.items()), "id string, fold int")
    parts = features.join(F.broadcast(folds), "id").persist()
    evaluator = MulticlassClassificationEvaluator(labelCol="label").setMetricName("logLoss")  # type: ignore[arg-type] # not in its stub
    try:
        losses = dict.fromkeys(recipe.reg_param, 0.0)
        for value in recipe.reg_param:
            estimator = classifier_of(recipe.model_copy(update={"reg_param": (value,)}), seed)
            for fold in range(FOLDS):
                model = fit_classifier(estimator, parts.where(F.col("fold") != fold))
                held = parts.where(F.col("fold") == fold)
                losses[value] += evaluator.evaluate(
                    model.transform(held.where("copy = 0") if "copy" in held.columns else held)
                )
    finally:
        parts.unpersist()
    best = min(recipe.reg_param, key=lambda value: losses[value])
    return recipe.model_copy(update={"reg_param": (best,)})
