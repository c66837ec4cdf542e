"""Stages of a pipeline in memory: their columns and labels, and their description for fusion."""

from __future__ import annotations

from pyspark.ml import PipelineModel, Transformer
from pyspark.ml.classification import LogisticRegressionModel
from pyspark.ml.feature import IndexToString
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from sparkdl.errors import RequestError
from sparkdl.inference.fusion import Featurizer, Imported, Ink, Regression, Stage, Temperature
from sparkdl.transformers.featurizer import DeepImageFeaturizer
from sparkdl.transformers.imported_classifier import ImportedClassifier
from sparkdl.transformers.ink_normalizer import InkNormalizer
from sparkdl.transformers.temperature_scaling import TemperatureScaling


def labels_of(pipeline: PipelineModel) -> tuple[str, ...] | None:
    """Return the labels of the last `IndexToString`; None if there is none."""
    named = [tuple(stage.getLabels()) for stage in pipeline.stages if isinstance(stage, IndexToString)]
    return named[-1] if named else None


def image_column(pipeline: PipelineModel) -> str:
    """Return the column that the pipeline reads images from."""
    for first in pipeline.stages[:1]:
        if first.hasParam("inputCol"):
            return str(first.getOrDefault("inputCol"))
    return "image"


def probability_column(pipeline: PipelineModel) -> str:
    """Return the column of the probabilities; raise a RequestError if no stage adds one."""
    return _column_of(pipeline, "probabilityCol", "probabilities")


def prediction_column(pipeline: PipelineModel) -> str:
    """Return the column of the predicted class index; raise a RequestError if no stage adds one."""
    return _column_of(pipeline, "predictionCol", "a prediction")


def _column_of(pipeline: PipelineModel, param: str, what: str) -> str:
    named = [stage for stage in pipeline.stages if isinstance(stage, Transformer) and stage.hasParam(param)]
    if not named or not named[-1].getOrDefault(param):
        kinds = ", ".join(type(stage).__name__ for stage in pipeline.stages)
        raise RequestError(f"expected a pipeline with a classifier that gives {what}, received stages {kinds}")
    return str(named[-1].getOrDefault(param))


def apply(pipeline: PipelineModel, images: DataFrame, *, index: str, probabilities: str) -> DataFrame:
    """Return `images` with the predicted class index, int, and the probabilities, array<double>, as columns.

    The probabilities are null if the pipeline returns none.
    """
    vector = F.col(probability_column(pipeline))
    return pipeline.transform(images).select(
        *images.columns,
        F.col(prediction_column(pipeline)).cast("int").alias(index),
        _array(vector).alias(probabilities),
    )


def _array(vector: Column) -> Column:
    return F.when(vector.isNotNull(), vector_to_array(vector))  # vector_to_array fails on null


def describe(pipeline: PipelineModel) -> list[Stage] | None:
    """Return the stages for `sparkdl.inference.fusion.fuse`, without `IndexToString`; None if one is unknown."""
    described: list[Stage] = []
    for stage in pipeline.stages:
        if isinstance(stage, InkNormalizer | DeepImageFeaturizer | ImportedClassifier) and not stage.isDefined(
            stage.inputCol
        ):
            return None  # applying the stage reports what is missing
        if isinstance(stage, InkNormalizer):
            described.append(Ink(stage.getInputCol(), stage.getOutputCol(), stage.getMargin()))
        elif isinstance(stage, DeepImageFeaturizer):
            columns = stage.getInputCol(), stage.getOutputCol()
            described.append(Featurizer(*columns, stage.network_spec(), stage.getScaleHint(), stage.network))
        elif isinstance(stage, ImportedClassifier):
            described.append(_imported(stage))
        elif isinstance(stage, LogisticRegressionModel):
            described.append(_regression(stage))
        elif isinstance(stage, TemperatureScaling):
            described.append(Temperature(stage.getProbabilityCol(), stage.getTemperature()))
        elif not isinstance(stage, IndexToString):
            return None
    return described


def _imported(stage: ImportedClassifier) -> Imported:
    return Imported.of(stage.settings(), stage.getInputCol(), stage.getProbabilityCol(), stage.network)


def _regression(model: LogisticRegressionModel) -> Regression:
    return Regression(
        features_column=model.getFeaturesCol(),
        probability_column=model.getProbabilityCol(),
        class_count=model.numClasses,
        coefficients=model.coefficientMatrix.toArray(),
        intercepts=model.interceptVector.toArray(),
        predicts_most_probable=not model.isSet("thresholds") and model.getThreshold() == 0.5,
    )
