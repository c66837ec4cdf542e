"""The sources: an address becomes a streaming DataFrame of encoded images."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from sparkdl.errors import RequestError
from streaming.rows import ENCODED
from streaming.settings import LabelFrom, StreamSettings

_BINARY_FILE = "path string, modificationTime timestamp, length long, content binary"
_GLOB = "{}[]*?\\"


def check_source(settings: StreamSettings) -> None:
    """Raises a RequestError if there is no such source."""
    if "://" in settings.source:
        raise RequestError(f"expected --source as a directory, received {settings.source!r}")
    if not Path(settings.source).is_dir():
        raise RequestError(f"no such directory to watch: {settings.source}")


def open_source(spark: SparkSession, settings: StreamSettings) -> DataFrame:
    """The stream of `settings.source`: rows of `streaming.rows.ENCODED`."""
    return _open_directory(spark, settings).select(*ENCODED.names)


def source_identity(address: str) -> str:
    """How `address` is written into a checkpoint's fingerprint: the same source gives the same words."""
    return str(Path(address).absolute())


def _open_directory(spark: SparkSession, settings: StreamSettings) -> DataFrame:
    """Files as they appear below a directory; names that begin with a dot or an underscore are left alone."""
    directory = Path(settings.source).absolute()
    files = (
        spark.readStream.format("binaryFile")
        .schema(_BINARY_FILE)
        .option("recursiveFileLookup", True)
        .option("maxFilesPerTrigger", settings.max_files_per_trigger)
        # Spark forgets, and then skips, files this much older than the newest: an old file copied in would be lost.
        .option("maxFileAge", "36500d")
        .load("".join(f"\\{c}" if c in _GLOB else c for c in str(directory)))
    )
    prefix = f"file:{directory}/" if str(directory) != "/" else "file:/"
    identity = F.substr("path", F.lit(len(prefix) + 1))
    folders = F.split(identity, "/")
    label = F.when(F.size(folders) > 1, F.element_at(folders, -2))
    return files.select(
        identity.alias("id"),
        F.col("path").alias("origin"),
        F.col("content").alias("payload"),
        (label if settings.label_from is LabelFrom.PARENT else F.lit(None).cast("string")).alias("label"),
        F.col("modificationTime").alias("produced_at"),
    )
