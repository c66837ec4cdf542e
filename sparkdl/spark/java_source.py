"""Compilation of this project's Java sources in the JVM of Spark, once for each version of a source."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile, ZipInfo

from sparkdl.errors import SparkdlError
from sparkdl.spark.private import FILE_SYSTEM, gateway, hadoop_configuration, java_session, jvm, new_array
from sparkdl.spark.session import scratch_directory
from sparkdl.spark.worker_python import is_local
from sparkdl.system.cache import cache_directory, is_owned, write_cached
from sparkdl.system.files import write_atomically

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import SparkSession
    from pyspark.sql.types import StructType

_log = logging.getLogger(__name__)
_LOCAL_FILES = Path(__file__).with_name("LocalFiles.java")


def jar_of(context: SparkContext, source: Path) -> Path:
    """Return a jar with the classes of a Java source, from the cache or compiled now.

    Janino, Spark's own expression compiler, compiles it, so the package ships no binary and needs no Java compiler.
    """
    import pyspark

    text = source.read_text("utf-8")
    digest = hashlib.sha256(f"{pyspark.__version__}\n{text}".encode()).hexdigest()
    name = f"{source.stem}-{digest[:16]}.jar"
    try:
        jar = cache_directory("java") / name
        if not is_owned(jar):
            write_cached(jar, _compiled(context, source.name, text))
    except SparkdlError as error:
        _log.info("%s is compiled at each start: %s", source.name, error)
        jar = scratch_directory() / name
        if not jar.is_file():
            write_atomically(jar, _compiled(context, source.name, text))
    return jar


def _compiled(context: SparkContext, file: str, text: str) -> bytes:
    content = io.BytesIO()
    with ZipFile(content, "w") as jar:
        for name, code in compile_java(context, file, text).items():
            jar.writestr(ZipInfo(f"{name}.class"), code)
    return content.getvalue()


def compile_java(context: SparkContext, file: str, source: str) -> dict[str, bytes]:
    """Return the compiled classes of a Java source, by their names.

    Janino, Spark's own expression compiler, compiles it; it supports neither generics nor lambdas.

    Parameters
    ----------
    file
        The name of the source in error messages.
    """
    compiler = jvm(context).org.codehaus.janino.SimpleCompiler()
    compiler.cook(file, jvm(context).java.io.StringReader(source))
    return {name: bytes(content) for name, content in compiler.getBytecodes().items()}


def register_java_function(
    spark: SparkSession,
    name: str,
    jar: Path,
    class_name: str,
    arguments: Sequence[str | Sequence[str]],
    kind: StructType,
) -> None:
    """Register a Java function for SQL in a session.

    Parameters
    ----------
    name
        The name of the function in SQL.
    jar
        The jar with its class, whose method `asFunction` returns Spark's function for a type; executors fetch it.
    arguments
        The arguments of the constructor: strings and arrays of strings.
    kind
        The type of the returned values.
    """
    java = jvm(spark.sparkContext)
    session = java_session(spark)
    session.sparkContext().addJar(str(jar))
    (constructor,) = _load_class(spark.sparkContext, jar, class_name).getConstructors()
    values = [value if isinstance(value, str) else new_array(java.java.lang.String, value) for value in arguments]
    function = constructor.newInstance(new_array(java.java.lang.Object, values))
    returned = java.org.apache.spark.sql.types.DataType.fromJson(kind.json())
    session.udf().register(name, function.asFunction(returned))


_loaded: dict[Path, tuple[Any, Any]] = {}
"""The gateway and the class of each jar: py4j finds classes by name, so none may be loaded twice in a JVM."""


def _load_class(context: SparkContext, jar: Path, name: str) -> Any:
    """Return a class of a jar, loaded into the driver's JVM."""
    started, found = _loaded.get(jar, (None, None))
    if started is not gateway():
        java = jvm(context)
        parts = new_array(java.java.net.URL, [java.java.io.File(str(jar)).toURI().toURL()])
        parent = java.java.lang.Thread.currentThread().getContextClassLoader()
        found = java.java.net.URLClassLoader(parts, parent).loadClass(name)
        _loaded[jar] = (gateway(), found)
    return found


def _use_local_file_system(context: SparkContext, kind: Any) -> None:
    """Let Hadoop use a Java class as the file system of the `file` scheme from now on, in this JVM for this user."""
    java, conf = jvm(context), hadoop_configuration(context)
    uri = java.java.net.URI.create("file:///")
    files = kind.getConstructors()[0].newInstance(new_array(java.java.lang.Object, []))
    files.initialize(uri, conf)
    names = ("java.net.URI", "org.apache.hadoop.conf.Configuration", FILE_SYSTEM)
    types = new_array(java.java.lang.Class, [java.java.lang.Class.forName(name) for name in names])
    # The cache that `FileSystem.get` reads first; there is no public way for a class that Spark was not started with.
    replace = java.java.lang.Class.forName(FILE_SYSTEM).getDeclaredMethod("addFileSystemForTesting", types)
    replace.setAccessible(True)
    replace.invoke(None, new_array(java.java.lang.Object, [uri, conf, files]))


def start_no_processes_for_files(context: SparkContext) -> None:
    """Let Hadoop itself set the permissions of local files in a local session; a micro-batch writes fifteen files."""
    if is_local(context.master):
        kind = _load_class(context, jar_of(context, _LOCAL_FILES), _LOCAL_FILES.stem)
        _use_local_file_system(context, kind)
