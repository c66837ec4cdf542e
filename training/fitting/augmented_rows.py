"""Augmented versions of images in DataFrames; each version depends only on the image's name and the seed."""

from __future__ import annotations

import zlib

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from sparkdl.images.pixels import to_gray
from sparkdl.images.schema import IMAGE_TYPE, arrays_to_struct, struct_to_arrays
from sparkdl.spark.udf import arrow_udf
from training.fitting.augmentation import augment
from training.fitting.recipes import Recipe

COLUMN = "augmentation"
"""The column that numbers the versions of an image: 0 is the original, then 1, 2, ..."""


def add_augmented_rows(images: DataFrame, recipe: Recipe, seed: int) -> DataFrame:
    """Add `recipe.augmentations` augmented versions of each decoded image, numbered in the column `augmentation`.

    Parameters
    ----------
    images
        Rows `id string, reason string, image, ...`; rows with a reason get no augmented versions.
    seed
        Seed of the augmentation.
    """

    def replace_image(column: pa.Array, ids: pa.Array, numbers: pa.Array) -> pa.Array:
        rows = zip(struct_to_arrays(column), ids.to_pylist(), numbers.to_pylist(), strict=True)
        pictures = [
            image
            if number == 0 or image is None
            else augment_image(to_gray(image), recipe, name, number, seed)[:, :, np.newaxis]
            for image, name, number in rows
        ]
        return arrays_to_struct(column.field("origin"), pictures)

    versions = F.sequence(F.lit(0), F.lit(recipe.augmentations))
    numbers = F.when(F.col("reason").isNull(), versions).otherwise(F.array(F.lit(0)))
    numbered = images.withColumn(COLUMN, F.explode(numbers))
    return numbered.withColumn(
        "image", arrow_udf(replace_image, IMAGE_TYPE)(F.col("image"), F.col("id"), F.col(COLUMN))
    )


def originals(rows: DataFrame) -> DataFrame:
    """Return the rows of original images; all rows if there are no augmented ones."""
    return rows.where(F.col(COLUMN) == 0) if COLUMN in rows.columns else rows


def augment_image(gray: NDArray[np.uint8], recipe: Recipe, name: str, number: int, seed: int) -> NDArray[np.uint8]:
    """Return the augmented version `number`, from 1, of the image `name`; see `training.fitting.augmentation.augment`.

    Parameters
    ----------
    gray
        uint8 [H, W].
    """
    rng = np.random.default_rng([seed, number, zlib.crc32(name.encode())])
    return augment(gray, rng, scan=recipe.augmentation_kind == "scan")
