"""Java of this project: sources that are compiled in the JVM of Spark, once for each version of them."""

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

    There is no binary to ship and no compiler to install: Janino, with which Spark compiles expressions, compiles it.
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

    Janino compiles it, with which Spark compiles expressions: it needs no Java compiler, and knows neither generics nor
    lambdas.

    Parameters
    ----------
    file
        The name of the source in errors.
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
    """Let SQL of this session call a Java function.

    Parameters
    ----------
    name
        The name of the function in SQL.
    jar
        Holds its class, which has a method `asFunction` from its type to Spark's function; executors fetch it.
    arguments
        Those of the constructor: strings, and arrays of them.
    kind
        Of the values that it returns.
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
"""The gateway and the class of each jar: py4j knows classes by their names, so none may be loaded twice in a JVM."""


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
    """Let Hadoop use a file system of a Java class for the `file` scheme from now on, in this JVM and for this user."""
    java, conf = jvm(context), hadoop_configuration(context)
    uri = java.java.net.URI.create("file:///")
    files = kind.getConstructors()[0].newInstance(new_array(java.java.lang.Object, []))
    files.initialize(uri, conf)
    names = ("java.net.URI", "org.apache.hadoop.conf.Configuration", FILE_SYSTEM)
    types = new_array(java.java.lang.Class, [java.java.lang.Class.forName(name) for name in names])
    # What `FileSystem.get` looks into first; there is no public way for a class that Spark was not started with.
    replace = java.java.lang.Class.forName(FILE_SYSTEM).getDeclaredMethod("addFileSystemForTesting", types)
    replace.setAccessible(True)
    replace.invoke(None, new_array(java.java.lang.Object, [uri, conf, files]))


def start_no_processes_for_files(context: SparkContext) -> None:
    """Let Hadoop set the permissions of local files itself, in a local session; a micro-batch has fifteen of them."""
    if is_local(context.master):
        kind = _load_class(context, jar_of(context, _LOCAL_FILES), _LOCAL_FILES.stem)
        _use_local_file_system(context, kind)
