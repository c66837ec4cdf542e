"""Class data sharing (AppCDS): an archive of Spark's classes that Java maps into memory at each start.

Without it, Java reads and verifies thousands of classes before Spark does anything. `python -m
sparkdl.spark.class_data_sharing` runs a small stream once and lets Java archive the classes that it loaded. Every
session that this package starts then uses the archive. The archive is in the cache and belongs to one Java, one Spark
and one class path; Java ignores it if one of them differs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from sparkdl.errors import SparkdlError
from sparkdl.spark.java import cds_archive_path, ensure_java
from sparkdl.spark.private import stop_jvm
from sparkdl.spark.session import JAVA_OPTIONS, spark_session
from sparkdl.system.cache import make_directory
from sparkdl.system.files import replacing

_EXIT_TIMEOUT = 300.0  # seconds


def make_cds_archive() -> Path:
    """Create or replace the archive, in a process that has not started Spark yet; return its path.

    Raises
    ------
    SparkdlError
        If this Java cannot create one.
    """
    path = cds_archive_path(ensure_java())
    try:
        make_directory(path.parent)
        path.unlink(missing_ok=True)
        with TemporaryDirectory() as scratch, replacing(path) as partial:
            _run_stream(Path(scratch), f"-XX:ArchiveClassesAtExit={partial} -Xlog:disable")
    except OSError as error:
        raise SparkdlError(f"no CDS archive can be written to {path}: {error}") from error
    return path


def _run_stream(scratch: Path, java_option: str) -> None:
    """Run a query like those of streams (files, a Python function, Parquet) until the JVM has ended."""
    java_options = f"{JAVA_OPTIONS} -XX:TieredStopAtLevel=1 -XX:+UseSerialGC {java_option}"
    spark = spark_session("class data sharing", {"spark.driver.defaultJavaOptions": java_options})
    (scratch / "files").mkdir()
    (scratch / "files" / "file").write_text("line")
    lines = spark.readStream.text(str(scratch / "files"))
    rows = lines.mapInArrow(lambda batches: batches, lines.schema)
    query = (
        rows.writeStream.format("parquet")
        .trigger(availableNow=True)
        .option("checkpointLocation", str(scratch / "checkpoint"))
        .start(str(scratch / "rows"))
    )
    query.awaitTermination()
    stop_jvm(spark, _EXIT_TIMEOUT)


if __name__ == "__main__":
    try:
        print(f"wrote {make_cds_archive()}")  # noqa: T201
    except SparkdlError as error:
        sys.exit(str(error))
