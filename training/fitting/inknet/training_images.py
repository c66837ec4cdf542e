"""The images that InkNet is trained on: squares of ink with augmented versions, prepared by Spark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from sparkdl.errors import RequestError
from sparkdl.images.ink import normalize_ink
from sparkdl.images.pixels import to_gray
from sparkdl.images.schema import struct_to_arrays
from sparkdl.networks import runtime
from sparkdl.networks.spec import SCALE_HINTS
from sparkdl.spark.udf import arrow_udf
from training.fitting.augmented_rows import augment_image
from training.fitting.inknet.trainer import train_inknet
from training.fitting.progress import Progress
from training.fitting.recipes import Recipe

_BATCH = 512  # images per partition
_HOLDOUT_FRACTION = 0.1  # of the images, for validation instead of training


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network.

    Attributes
    ----------
    weights
        The file of its weights, see `training.fitting.inknet.trainer.train_inknet`.
    holdout
        The ids of the images that it was not trained on.
    """

    weights: Path
    holdout: frozenset[str]


def train_network(
    spark: SparkSession, images: DataFrame, count: int, recipe: Recipe, seed: int, progress: Progress
) -> TrainedNetwork:
    """Train InkNet on squares of ink, preprocessed as the pipeline does.

    Parameters
    ----------
    images
        Rows `id string, label double, reason string, image`.
    count
        The number of rows, for partitioning and progress.
    seed
        Seed of the augmentation, of the holdout images and of the training.

    Raises
    ------
    RequestError
        If no image can be decoded.
    SparkdlError
        If TensorFlow is not installed, or training fails.
    """
    side, margin = recipe.input_size, recipe.ink_margin
    resample = SCALE_HINTS[recipe.scale_hint]

    def make_squares(column: pa.Array, ids: pa.Array) -> pa.Array:
        rows = []
        for image, name in zip(struct_to_arrays(column), ids.to_pylist(), strict=True):
            assert image is not None  # rows without an image were filtered out
            gray = to_gray(image)
            numbers = range(1, recipe.augmentations + 1)
            versions = [gray, *(augment_image(gray, recipe, name, number, seed) for number in numbers)]
            inks = [normalize_ink(version, margin)[:, :, np.newaxis] for version in versions]
            rows.append(b"".join(runtime.resize_to_input(ink, (side, side, 1), resample).tobytes() for ink in inks))
        return pa.array(rows, pa.binary())

    partitions = max(count // _BATCH, spark.sparkContext.defaultParallelism)
    decoded = images.where("reason is null").repartition(partitions)
    squares = arrow_udf(make_squares, "binary")(F.col("image"), F.col("id")).alias("squares")
    rows = []
    for row in decoded.select("id", "label", squares).toLocalIterator(prefetchPartitions=True):
        rows.append((row.id, int(row.label), np.frombuffer(row.squares, np.uint8).reshape(-1, side, side)))
        if len(rows) % _BATCH == 0:
            progress("preparing images", len(rows), count)
    if not rows:
        raise RequestError("no image can be decoded")
    rows.sort(key=lambda row: row[0])  # the order must not depend on Spark's partitions
    labels = np.array([label for _, label, _ in rows])
    holdout = np.random.default_rng(seed).permutation(len(rows))[: round(len(rows) * _HOLDOUT_FRACTION)]
    weights = train_inknet(np.stack([made for _, _, made in rows]), labels, holdout, recipe.epochs, seed, progress)
    return TrainedNetwork(weights, frozenset(rows[index][0] for index in holdout))
