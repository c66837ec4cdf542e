"""Reading of image files into a DataFrame: `sparkdl.read_images`, decoded as in training and streams."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql.types import BinaryType, StringType, StructField, StructType

from sparkdl.decoding.image_paths import Folder, find_folders, label_in, local_files
from sparkdl.decoding.udf import decode_payloads, reasons_of
from sparkdl.errors import RequestError
from sparkdl.images.rejection import DEFAULT_LIMITS, Limits, Reason, Rejected
from sparkdl.images.schema import IMAGE_TYPE, pixels_to_struct
from sparkdl.spark import arrow
from sparkdl.spark.private import map_in_arrow
from sparkdl.system.file_uris import path_of
from sparkdl.system.files import read_beginning

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

UNREADABLE = "the file is gone or cannot be read"
"""The detail of a file whose bytes are not known."""

_PIECE_IMAGES = 32  # images decoded at once: at most 3 MiB of pixels each
_PIECE_BYTES = 2 << 20  # encoded bytes decoded at once, unless one image has more
_FILE = StructType(
    [
        StructField("origin", StringType(), False),
        StructField("payload", BinaryType(), True),
        StructField("label", StringType(), True),
    ]
)


def read_images(
    spark: SparkSession,
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    label_from_folder: bool = False,
    recursive: bool = True,
    drop_invalid: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> DataFrame:
    """Read image files, decoded as in training and streams.

    Use this instead of `spark.read.format("image")`, which decodes with Java: it ignores the orientation in EXIF and
    the alpha of gray images, gets the colours of CMYK wrong, does not read WebP, and skips files whose names begin with
    `_`. A model that is trained on its pixels sees different pixels in a stream.

    Parameters
    ----------
    paths
        A file, a folder (with all folders below it), a glob, or several of them. Files in folders that are not images,
        and hidden or temporary names, are left out (`sparkdl.formats.image_files`) with a warning in the log. Paths
        without a scheme are on this machine, or on a volume where the driver and the workers see the same files.
    label_from_folder
        Whether to add the column `label`. For a folder `DIR` it is the name of the first folder below `DIR` on the path
        to the file, or of `DIR` itself if all its files are directly in it; for a file it is the name of its folder.
    recursive
        Whether to read the folders below a folder too.
    drop_invalid
        Whether to drop files that cannot be decoded, like `dropInvalid` of the Spark image source.
    limits
        What one image may cost.

    Returns
    -------
    Rows `origin string, image struct, label string, reason string, detail string`; `label` only if requested. `image`
    has Spark's image schema: gray, or BGR, at most a megapixel (see `sparkdl.images.pixels.downscale`). A file that
    cannot be decoded has a null `image`, and a `reason` (`sparkdl.images.rejection.MEANINGS`) with a `detail`. With
    `drop_invalid` there are no such rows and no columns `reason` and `detail`.

    Raises
    ------
    RequestError
        If a path does not exist, or contains no image file; if files are both directly in a folder and in folders
        below it, so that the label is ambiguous; if a file or folder cannot be read; if a file's name hides it from
        Spark on another file system.

    Notes
    -----
    Files are listed during the call, and read whenever the DataFrame is computed: `persist()` it to use it more than
    once. Each image is decoded in a separate process next to its Spark worker; see `docs/explanation/decoding.md`.

    Examples
    --------
    >>> from sparkdl import read_images
    >>> images = read_images(spark, temp_path + "/digits", label_from_folder=True)
    >>> images.groupBy("label").count().orderBy("label").collect()
    [Row(label='0', count=2), Row(label='1', count=2)]
    >>> images.where("reason is not null").select("origin", "reason", "detail").collect()
    []
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not given:
        raise RequestError("expected a file, a folder or a glob of images, received no path")
    folders = find_folders(spark, [os.fspath(path) for path in given], check_labels=label_from_folder)
    if not recursive:
        folders = [folder for folder in map(_top, folders) if folder.files]
        if not folders:
            raise RequestError(f"no image files directly in {', '.join(map(str, given))}: set recursive to read below")
    local = [folder for folder in folders if folder.is_local]
    other = [folder for folder in folders if not folder.is_local]
    parts = [read(spark, part) for read, part in ((_local_rows, local), (_other_rows, other)) if part]
    files = parts[0] if len(parts) == 1 else parts[0].unionByName(parts[1])
    schema = _schema(label_from_folder=label_from_folder)
    images = map_in_arrow(files, _FileDecoding(limits, tuple(schema.names)), schema)
    return images.where("reason is null").drop("origin", "reason", "detail") if drop_invalid else images


def _top(folder: Folder) -> Folder:
    """Return the files directly in a folder."""
    return folder if folder.is_flat else replace(folder, files=folder.top_files, is_whole=False)


def _schema(*, label_from_folder: bool) -> StructType:
    label = [StructField("label", StringType(), True)] if label_from_folder else []
    return StructType(
        [
            StructField("origin", StringType(), False),
            StructField("image", IMAGE_TYPE, True),
            *label,
            StructField("reason", StringType(), True),
            StructField("detail", StringType(), True),
        ]
    )


def _local_rows(spark: SparkSession, folders: Sequence[Folder]) -> DataFrame:
    """Return the files of folders that workers can open, as rows of `_FILE` without a payload."""
    files = list(local_files(folders))
    table = pa.table(
        {
            "origin": pa.array([origin for origin, _ in files], pa.string()),
            "payload": pa.nulls(len(files), pa.binary()),
            "label": pa.array([label for _, label in files], pa.string()),
        }
    )
    rows = spark.createDataFrame(table, _FILE)
    return rows.repartition(max(min(len(files), spark.sparkContext.defaultParallelism), 1))


def _other_rows(spark: SparkSession, folders: Sequence[Folder]) -> DataFrame:
    """Return the files of folders on other file systems, read by Spark, as rows of `_FILE`."""
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as F

    def read(folder: Folder) -> DataFrame:
        files = spark.read.format("binaryFile").option("recursiveFileLookup", True).load(folder.spark_paths())
        below = F.substring("path", len(folder.root) + 2, 1 << 30)
        label = F.lit(label_in(folder, "")) if folder.is_flat else F.substring_index(below, "/", 1)
        return files.select(F.col("path").alias("origin"), F.col("content").alias("payload"), label.alias("label"))

    return reduce(DataFrame.unionByName, map(read, folders))


@dataclass(frozen=True)
class _FileDecoding:
    """The worker's side: converts rows of `_FILE` to decoded images, a few at a time, to bound the memory."""

    limits: Limits
    columns: tuple[str, ...]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for rows in batches:
            start = 0
            for payloads in self._pieces(rows):
                yield self._decode(rows.slice(start, len(payloads)), payloads)
                start += len(payloads)

    def _pieces(self, rows: pa.RecordBatch) -> Iterator[list[bytes | None]]:
        payloads, weight = list[bytes | None](), 0
        for origin, payload in zip(rows["origin"], rows["payload"], strict=True):
            content = payload.as_py()
            if content is None:
                content, _ = read_beginning(path_of(origin.as_py()), self.limits.max_bytes)
            payloads.append(content)
            weight += len(content or b"")
            if weight >= _PIECE_BYTES or len(payloads) >= _PIECE_IMAGES:
                yield payloads
                payloads, weight = [], 0
        if payloads:
            yield payloads

    def _decode(self, rows: pa.RecordBatch, payloads: Sequence[bytes | None]) -> pa.RecordBatch:
        decoded = decode_payloads(arrow.binary_array(payloads), self.limits)
        for row in np.flatnonzero([payload is None for payload in payloads]).tolist():
            decoded.rejected[row] = Rejected(Reason.EMPTY, UNREADABLE)
        origins = rows["origin"].cast(pa.string())
        reason, detail = reasons_of(decoded)
        columns = {
            "origin": origins,
            "image": pixels_to_struct(origins, decoded.shapes, decoded.pixels),
            "label": pc.utf8_normalize(rows["label"], "NFC"),  # Spark took some of them from paths
            "reason": reason,
            "detail": detail,
        }
        return pa.RecordBatch.from_arrays([columns[name] for name in self.columns], names=list(self.columns))
