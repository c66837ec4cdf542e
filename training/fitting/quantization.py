"""Has a recipe's network compute with 8-bit integers, in the ranges that some of the training images give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pyspark.ml import PipelineModel, Transformer
from pyspark.sql import SparkSession

from sparkdl.errors import RequestError
from sparkdl.images.schema import struct_to_arrays
from sparkdl.transformers.featurizer import DeepImageFeaturizer
from training.data.dataframes import image_rows
from training.data.loading import Dataset

_IMAGES = 256  # that the ranges are taken from


def compute_with_integers(spark: SparkSession, stages: Sequence[Transformer], dataset: Dataset, seed: int) -> None:
    """Quantises the featurizer that `stages` end with, on some of the images, by chance.

    Raises
    ------
    RequestError
        If none of them decodes.
    """
    featurizer = stages[-1]
    assert isinstance(featurizer, DeepImageFeaturizer)  # what makes recipes' stages ends with it
    places = sorted(np.random.default_rng(seed).permutation(len(dataset))[:_IMAGES])
    some = replace(dataset, images=tuple(dataset.images[place] for place in places))
    rows = image_rows(spark, some, dataset.classes).where("reason is null")
    seen = PipelineModel(list(stages[:-1])).transform(rows).select(featurizer.getInputCol()).toArrow()
    arrays = [array for array in struct_to_arrays(seen.column(0).combine_chunks()) if array is not None]
    if not arrays:
        raise RequestError(f"{dataset.address}: none of {len(places)} images can be decoded")
    featurizer.quantize(arrays)
