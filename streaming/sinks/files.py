"""The few file operations of a sink, on whatever file system Spark writes to."""

from __future__ import annotations

from typing import Any

from pyspark.sql import SparkSession

from sparkdl.errors import SparkdlError


class Files:
    """Paths are those of Hadoop: of the default file system, or with a scheme."""

    def __init__(self, spark: SparkSession) -> None:
        # Asked for by name, a class of the JVM is sought in all its packages, and each time in all of Spark's jars.
        self._path: Any = spark.sparkContext._jvm.org.apache.hadoop.fs.Path  # type: ignore[union-attr]
        self._conf = spark._jsc.hadoopConfiguration()

    def _open(self, path: str) -> tuple[Any, Any]:
        place = self._path(path)
        return place.getFileSystem(self._conf), place

    def exists(self, path: str) -> bool:
        system, place = self._open(path)
        return bool(system.exists(place))

    def names(self, directory: str) -> list[str]:
        system, place = self._open(directory)
        return [status.getPath().getName() for status in system.listStatus(place)] if system.exists(place) else []

    def make_directory(self, path: str) -> None:
        system, place = self._open(path)
        if not system.mkdirs(place):
            raise SparkdlError(f"the directory {path} cannot be made")

    def rename(self, source: str, target: str) -> None:
        system, place = self._open(source)
        if not system.rename(place, self._path(target)):
            raise SparkdlError(f"{source} cannot be renamed to {target}")

    def delete(self, path: str) -> None:
        system, place = self._open(path)
        if system.exists(place) and not system.delete(place, True):
            raise SparkdlError(f"{path} cannot be removed")

    def write(self, path: str, text: str) -> None:
        """A small file, under a temporary name first, so that it is never half there."""
        partial = f"{path}.partial"
        system, place = self._open(partial)
        stream = system.create(place, True)
        try:
            stream.write(text.encode())
        finally:
            stream.close()
        self.rename(partial, path)

    def read(self, path: str) -> str:
        system, place = self._open(path)
        stream = system.open(place)
        try:
            return bytes(stream.readAllBytes()).decode()
        finally:
            stream.close()
