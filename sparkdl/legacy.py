"""Names of 2019, for notebooks that were written for Spark 2.4 and Deep Learning Pipelines 1.5.

`import sparkdl.legacy` adds what later versions of Spark and this package no longer have under its old name:

- `pyspark.ml.image.ImageSchema.readImages`, which Spark 3.0 removed;
- `sparkdl.image.imageIO`, now `sparkdl.imageIO`;
- `sparkdl.udf.keras_image_model.registerKerasImageUDF`, now `sparkdl.registerKerasImageUDF`.

Examples
--------
>>> import sparkdl.legacy
>>> from pyspark.ml.image import ImageSchema
>>> from sparkdl.image import imageIO
>>> imageIO.imageTypeByName("CV_8UC3").ord
16
>>> ImageSchema.readImages(temp_path + "/digits/0").select("image.nChannels").first()
Row(nChannels=3)
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

from pyspark.ml.image import ImageSchema
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

import sparkdl
from sparkdl import imageIO, sql_functions
from sparkdl.errors import RequestError
from sparkdl.images.schema import IMAGE_TYPE

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame


def read_images(
    path: str,
    recursive: bool = False,
    numPartitions: int = -1,
    dropImageFailures: bool = False,
    sampleRatio: float = 1.0,
    seed: int = 0,
) -> DataFrame:
    """Read image files as `ImageSchema.readImages` of Spark 2.4 did.

    Parameters
    ----------
    path
        A file, a folder, a glob, or several of them with commas between.
    recursive
        Whether to read the folders below a folder. False leaves them out.
    numPartitions
        Of the DataFrame; -1 leaves it to Spark.
    dropImageFailures
        Whether to leave out files that cannot be decoded; else they are undefined images, of mode -1.
    sampleRatio
        The share of the images to read, 0..1.
    seed
        Of the sample.

    Returns
    -------
    Rows `image`, of Spark's image schema, decoded as `sparkdl.read_images` does: at most a megapixel each.
    """
    if not 0 <= sampleRatio <= 1:
        raise RequestError(f"expected sampleRatio from 0 to 1, received {sampleRatio!r}")
    spark = SparkSession.builder.getOrCreate()
    paths = [part.strip() for part in path.split(",")]
    images = sparkdl.read_images(spark, paths, recursive=recursive)
    if sampleRatio < 1:
        images = images.sample(withReplacement=False, fraction=sampleRatio, seed=seed)
    if dropImageFailures:
        images = images.where("reason is null").select("image")
    else:
        images = images.select(F.coalesce("image", _undefined()).alias("image"))
    return images if numPartitions < 1 else images.repartition(numPartitions)


def _undefined() -> Column:
    values = (F.col("origin"), *map(F.lit, (-1, -1, -1, -1, bytearray())))
    fields = zip(IMAGE_TYPE, values, strict=True)
    return F.struct(*(value.cast(field.dataType).alias(field.name) for field, value in fields))


def _install() -> None:
    ImageSchema.readImages = read_images  # type: ignore[attr-defined]
    image, udf = ModuleType("sparkdl.image"), ModuleType("sparkdl.udf")
    image.imageIO = imageIO  # type: ignore[attr-defined]
    udf.keras_image_model = sql_functions  # type: ignore[attr-defined]
    for module in (image, udf):
        sys.modules[module.__name__] = module
        setattr(sparkdl, module.__name__.rpartition(".")[2], module)
    sys.modules["sparkdl.image.imageIO"] = imageIO
    sys.modules["sparkdl.udf.keras_image_model"] = sql_functions


_install()
