"""Quantizes a recipe's network to 8-bit integers, calibrated on some of the training images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pyspark.ml import PipelineModel, Transformer
from pyspark.sql import SparkSession

from sparkdl.errors import RequestError
from sparkdl.images.schema import struct_to_arrays
from sparkdl.transformers.featurizer import DeepImageFeaturizer
from training.data.dataframes import image_rows
from training.data.dataset import Dataset

_CALIBRATION_IMAGES = 256


def quantize_network(spark: SparkSession, stages: Sequence[Transformer], dataset: Dataset, seed: int) -> None:
    """Quantize the featurizer, the last of `stages`, in place.

    Parameters
    ----------
    stages
        Feature stages of a recipe, see `training.fitting.features.feature_stages`.
    dataset
        The training images; up to 256 random ones give the ranges of the activations.
    seed
        Chooses the images.

    Raises
    ------
    RequestError
        If none of the chosen images can be decoded.
    """
    featurizer = stages[-1]
    assert isinstance(featurizer, DeepImageFeaturizer)  # a recipe's feature stages end with it
    featurizer.quantize(sample_images(spark, dataset, seed, stages[:-1], featurizer.getInputCol()))


def sample_images(
    spark: SparkSession, dataset: Dataset, seed: int, stages: Sequence[Transformer] = (), column: str = "image"
) -> list[NDArray[np.uint8]]:
    """Return up to 256 random images of `dataset`, uint8 [H, W, C] each, from `column` after `stages`.

    Raises
    ------
    RequestError
        If none of the chosen images can be decoded.
    """
    indices = sorted(np.random.default_rng(seed).permutation(len(dataset))[:_CALIBRATION_IMAGES])
    chosen = replace(dataset, images=tuple(dataset.images[index] for index in indices))
    rows = image_rows(spark, chosen, dataset.classes).where("reason is null")
    inputs = PipelineModel(list(stages)).transform(rows).select(column).toArrow()
    arrays = [array for array in struct_to_arrays(inputs.column(0).combine_chunks()) if array is not None]
    if not arrays:
        raise RequestError(f"{dataset.address}: none of {len(indices)} images can be decoded")
    return arrays
