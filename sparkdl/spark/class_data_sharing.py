"""An archive of Spark's classes that Java maps into memory, instead of reading and verifying each at each start.

Java calls it class-data sharing. Spark loads thousands of classes before it has done anything. `python -m
sparkdl.spark.class_data_sharing` has a small stream run once and Java keep what it loaded; every session that this
package starts then uses it. The archive lies in the cache and belongs to one Java and one Spark: where they are others,
or the class path is, Java goes on without it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sparkdl.errors import SparkdlError
from sparkdl.spark.java import archive_path, ensure_java
from sparkdl.spark.session import JAVA_OPTIONS, spark_session
from sparkdl.system.cache import make_directory

_PATIENCE = 300.0  # seconds


def make_archive() -> Path:
    """Makes the archive, or makes it again, in a process that has started no Spark yet; returns its path.

    Raises
    ------
    SparkdlError
        If this Java cannot make one.
    """
    path = archive_path(ensure_java())
    try:
        make_directory(path.parent)
        path.unlink(missing_ok=True)
        with TemporaryDirectory(dir=path.parent, prefix=".") as scratch:
            partial = Path(scratch) / path.name
            _run_stream(Path(scratch), f"-XX:ArchiveClassesAtExit={partial} -Xlog:disable")
            partial.replace(path)
    except OSError as error:
        raise SparkdlError(f"no archive of Java's classes can be made at {path}: {error}") from error
    return path


def _run_stream(scratch: Path, java_option: str) -> None:
    """Runs a query as streams are: files, a function in Python, Parquet; until the JVM has ended."""
    java_options = f"{JAVA_OPTIONS} -XX:TieredStopAtLevel=1 -XX:+UseSerialGC {java_option}"
    spark = spark_session("class archive", {"spark.driver.extraJavaOptions": java_options})
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
    gateway: Any = spark.sparkContext._gateway
    spark.stop()
    gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait(_PATIENCE)


if __name__ == "__main__":
    try:
        print(f"made {make_archive()}")  # noqa: T201
    except SparkdlError as error:
        sys.exit(str(error))
