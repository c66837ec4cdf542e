"""The sources: an address becomes a streaming DataFrame of encoded images."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from sparkdl.errors import RequestError
from streaming.directory import NAME, DirectorySource
from streaming.settings import LabelFrom, StreamSettings


def check_source(settings: StreamSettings) -> None:
    """Raises a RequestError if there is no such source."""
    if "://" in settings.source:
        raise RequestError(f"expected --source as a directory, received {settings.source!r}")
    if not Path(settings.source).is_dir():
        raise RequestError(f"no such directory to watch: {settings.source}")


def open_source(spark: SparkSession, settings: StreamSettings) -> DataFrame:
    """The stream of `settings.source`: rows of `streaming.rows.ENCODED`."""
    spark.dataSource.register(DirectorySource)
    encoded = (
        spark.readStream.format(NAME)
        .option("log", str(settings.checkpoint.absolute() / "files"))
        .option("maxFilesPerTrigger", settings.max_files_per_trigger)
        .option("maxBytes", settings.max_bytes)
        .option("slots", spark.sparkContext.defaultParallelism)
        .load(str(Path(settings.source).absolute()))
    )
    if settings.label_from is LabelFrom.NONE:
        encoded = encoded.withColumn("label", F.lit(None).cast("string"))
    return encoded


def source_identity(address: str) -> str:
    """How `address` is written into a checkpoint's fingerprint: the same source gives the same words."""
    return str(Path(address).resolve())
