"""File operations on any file system that Spark writes to, for sinks and saved stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from sparkdl.errors import SparkdlError
from sparkdl.spark.private import hadoop_configuration, jvm, new_array
from sparkdl.system.files import create_atomically


class Files:
    """File operations on Hadoop paths, on the default file system or with a scheme."""

    def __init__(self, spark: SparkSession) -> None:
        self._java: Any = jvm(spark.sparkContext)
        self._hadoop: Any = self._java.org.apache.hadoop.fs
        self._path: Any = self._hadoop.Path
        self._conf = hadoop_configuration(spark.sparkContext)

    def _open(self, path: str) -> tuple[Any, Any]:
        place = self._path(path)
        return place.getFileSystem(self._conf), place

    def exists(self, path: str) -> bool:
        system, place = self._open(path)
        return bool(system.exists(place))

    def names(self, directory: str) -> list[str]:
        system, place = self._open(directory)
        return [status.getPath().getName() for status in system.listStatus(place)] if system.exists(place) else []

    def glob(self, pattern: str) -> list[tuple[str, bool]]:
        """Return the URIs that match a Hadoop glob, in order, and whether each is a directory."""
        system, place = self._open(pattern)
        return [
            (str(status.getPath().toString()), bool(status.isDirectory())) for status in system.globStatus(place) or ()
        ]

    def names_below(self, directory: str) -> list[str]:
        """Return the relative paths of all files below `directory`, a URI from `glob`."""
        system, place = self._open(directory)
        statuses = self._java.org.apache.hadoop.util.functional.RemoteIterators.toList(system.listFiles(place, True))
        return [str(status.getPath().toString()).removeprefix(f"{directory}/") for status in statuses]

    def make_directory(self, path: str) -> None:
        system, place = self._open(path)
        if not system.mkdirs(place):
            raise SparkdlError(f"the directory {path} cannot be created")

    def rename(self, source: str, target: str) -> None:
        """Rename a file or a non-empty directory to a free name; if two processes do so at once, one fails.

        Hadoop's own rename would move `source` into an existing directory `target`, and on a local disk it copies if it
        cannot rename.

        Raises
        ------
        SparkdlError
            If `source` is missing, `target` exists, or the file system refuses.
        """
        system, place = self._open(source)
        aim = self._path(target)
        if (local := _local(system, place)) is not None:
            try:
                Path(local).rename(str(aim.toUri().getPath()))
            except OSError as error:
                raise SparkdlError(f"{source} cannot be renamed to {target}: {error.strerror}") from error
            return
        rename = self._hadoop.Options.Rename
        options = new_array(rename, [rename.NONE])
        try:
            self._hadoop.FileContext.getFileContext(system.getUri(), self._conf).rename(place, aim, options)
        except Py4JJavaError as error:
            reason = error.java_exception.toString()
            raise SparkdlError(f"{source} cannot be renamed to {target}: {reason}") from error

    def delete(self, path: str) -> None:
        system, place = self._open(path)
        if system.exists(place) and not system.delete(place, True):
            raise SparkdlError(f"{path} cannot be removed")

    def create(self, path: str, text: str) -> bool:
        """Create a small file atomically; return False if the name is taken.

        If several processes do so at once, one succeeds.
        """
        system, place = self._open(path)
        if (local := _local(system, place)) is not None:
            Path(local).parent.mkdir(parents=True, exist_ok=True)
            return create_atomically(Path(local), text)
        partial = f"{path}.{uuid4().hex}"
        stream = system.create(self._path(partial), False)
        try:
            stream.write(text.encode())
        finally:
            stream.close()
        try:
            self.rename(partial, path)
        except SparkdlError:
            self.delete(partial)
            if not self.exists(path):
                raise
            return False
        return True

    def write_bytes(self, path: str, content: bytes) -> None:
        """Write one file and replace an existing one; not atomic."""
        system, place = self._open(path)
        stream = system.create(place, True)
        try:
            stream.write(content)
        finally:
            stream.close()

    def read(self, path: str) -> str:
        system, place = self._open(path)
        stream = system.open(place)
        try:
            return bytes(stream.readAllBytes()).decode()
        finally:
            stream.close()


def read_bytes(spark: SparkSession, path: str, max_bytes: int) -> bytes:
    """Read one file through Spark, on any file system that Spark supports.

    Raises
    ------
    SparkdlError
        If it cannot be read, or is larger than `max_bytes`.
    """
    try:
        files = spark.read.format("binaryFile").load(path)
        rows = files.where(F.col("length") <= max_bytes).select("content").collect()
    except (PySparkException, Py4JError) as error:
        raise SparkdlError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    if not rows:
        raise SparkdlError(f"{path}: expected at most {max_bytes} bytes, received more")
    return bytes(rows[0].content)


def _local(system: Any, place: Any) -> str | None:
    """Return the path on a file system of this machine; None if it is on another file system."""
    return str(place.toUri().getPath()) if system.getUri().getScheme() == "file" else None
