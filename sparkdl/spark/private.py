"""Private parts of pyspark and py4j that this project depends on; no other module uses any.

They are not public interfaces, so an upgrade may change them. `PARTS` and `JVM_CLASSES` list them;
`tests/unit/sparkdl/spark/test_private.py` and `test_private_jvm.py` name the missing ones. If one is missing at run
time, the error names it. The authentication of calls from Java is in `sparkdl.spark.callbacks`.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sparkdl.errors import SparkdlError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark import SparkContext
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.streaming.query import StreamingQuery
    from pyspark.sql.types import StructType

PARTS = (
    "pyspark.SparkContext._gateway",
    "pyspark.SparkContext._jvm",
    "pyspark.SparkContext._ensure_initialized",
    "pyspark.java_gateway.launch_gateway",
    "pyspark.java_gateway.ensure_callback_server_started",
    "pyspark.sql.classic.dataframe.DataFrame",
    "pyspark.errors.exceptions.captured.CapturedException",
    "pyspark.ml.param.Params._dummy",
    "pyspark.ml.param.Params._resetUid",
    "pyspark.ml.param.Params._set",
    "pyspark.ml.param.Params._setDefault",
    "pyspark.ml.util.DefaultParamsReader.loadMetadata",
    "pyspark.ml.util.DefaultParamsReader.getAndSetParams",
    "pyspark.ml.util.DefaultParamsWriter.saveMetadata",
    "pyspark.keyword_only",
    "pyspark.sql.pandas.functions.arrow_udf",
    "pyspark.testing.utils.have_numpy",
    "pyspark.sql.udf.UserDefinedFunction",
    "pyspark.util.PythonEvalType.SQL_MAP_ARROW_ITER_UDF",
    "pyspark.sql.streaming.datasource.SupportsTriggerAvailableNow",
    "pyspark.daemon.worker",
    "pyspark.daemon.manager",
    "py4j.java_gateway.JavaObject",
    "py4j.java_gateway.JavaClass",
    "py4j.java_gateway.JavaGateway.new_array",
    "py4j.java_gateway.JavaGateway.shutdown",
)
"""The private names in Python."""

CHECKPOINT_FILE_MANAGER = "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"
"""The manager of checkpoint files in a stream's session, which starts no process per file."""

FILE_SYSTEM = "org.apache.hadoop.fs.FileSystem"
"""Hadoop's file system."""

ADD_BATCH = "addBatch"
"""The name of computing and writing in Spark's report of a micro-batch."""

JVM_CLASSES = (
    "py4j.PythonClient",
    "py4j.Gateway",
    "org.apache.hadoop.fs.Path",
    "org.apache.hadoop.fs.FileContext",
    "org.apache.hadoop.fs.LocalFileSystem",
    FILE_SYSTEM,
    CHECKPOINT_FILE_MANAGER,
    "org.codehaus.janino.SimpleCompiler",
    "org.apache.spark.sql.types.DataType",
    "org.apache.spark.api.python.PythonUtils",
)
"""The private names in the JVM; this project's Java code uses the last one."""


def find(part: str) -> Any:
    """Return the object for a name in `PARTS`.

    Raises
    ------
    SparkdlError
        If the installed version does not have it; the message names it.
    """
    names = part.split(".")
    for count in range(len(names) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(names[:count]))
        except ModuleNotFoundError:
            continue
        try:
            for name in names[count:]:
                found = getattr(found, name)
        except AttributeError:
            break
        return found
    raise _gone(part)


def _gone(part: str) -> SparkdlError:
    import pyspark
    from py4j.version import __version__ as py4j_version

    return SparkdlError(
        f"pyspark {pyspark.__version__} with py4j {py4j_version} does not have {part}, which this version of "
        "sparkdl-streaming depends on: install the pyspark that it was released with"
    )


def _attribute(owner: Any, name: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError as error:
        raise _gone(f"{type(owner).__module__}.{type(owner).__name__}.{name}") from error


def gateway() -> Any:
    """Return py4j's gateway to the JVM of this process; None if there is none yet."""
    return find("pyspark.SparkContext._gateway")


def start_gateway(settings: Mapping[str, str], streams: Mapping[str, int]) -> Any:
    """Start a JVM with Spark settings and return the gateway to it.

    Parameters
    ----------
    streams
        Descriptors for the `stdout` and `stderr` of the JVM.

    Raises
    ------
    pyspark.errors.PySparkRuntimeError
        If the JVM ends before it can be reached.
    """
    from pyspark import SparkConf

    launch = find("pyspark.java_gateway.launch_gateway")
    return launch(SparkConf(loadDefaults=False).setAll(list(settings.items())), dict(streams))


def use_gateway(started: Any) -> None:
    """Let this process's Spark contexts use the JVM of a gateway."""
    find("pyspark.SparkContext._ensure_initialized")(gateway=started)


def stop_jvm(spark: SparkSession, timeout: float) -> None:
    """Stop a session and its JVM, and wait for the JVM to end.

    Raises
    ------
    subprocess.TimeoutExpired
        If it has not ended after `timeout` seconds.
    """
    started = gateway()
    spark.stop()
    started.shutdown()
    process = _attribute(started, "proc")
    process.stdin.close()
    process.wait(timeout)


def jvm(context: SparkContext) -> Any:
    """Return the packages of the JVM as attributes.

    Each access to a class by name searches all jars of Spark: keep the class.
    """
    return _attribute(context, "_jvm")


def has_class(context: SparkContext, name: str) -> bool:
    """Return whether the JVM has this class."""
    found: Any = jvm(context)
    for part in name.split("."):
        found = getattr(found, part)
    return isinstance(found, find("py4j.java_gateway.JavaClass"))


def new_array(kind: Any, values: Sequence[Any]) -> Any:
    """Return a Java array of `values` with elements of a class."""
    array = gateway().new_array(kind, len(values))
    for index, value in enumerate(values):
        array[index] = value
    return array


def hadoop_configuration(context: SparkContext) -> Any:
    """Return the Hadoop configuration of a context, a Java object."""
    return _attribute(context, "_jsc").hadoopConfiguration()


def last_batch(query: StreamingQuery) -> int:
    """Return the number of the last micro-batch that a query has finished; -1 if it has finished none."""
    progress = _attribute(query, "_jsq").lastProgress()
    return -1 if progress is None else int(progress.batchId()) - (not _has_run(progress))


def progress_after(query: StreamingQuery, batch_id: int) -> list[dict[str, Any]]:
    """Return Spark's reports of the micro-batches after `batch_id` that a query has finished, oldest first.

    `StreamingQuery.recentProgress` would fetch and parse all reports that Spark keeps, at each call. They include
    reports of triggers without data, which have the number of the next micro-batch.
    """
    if last_batch(query) <= batch_id:
        return []
    reports = _attribute(query, "_jsq").recentProgress()
    found: list[dict[str, Any]] = []
    for index in range(len(reports) - 1, -1, -1):
        if not _has_run(reports[index]):
            continue
        if reports[index].batchId() <= batch_id:
            break
        found.append(json.loads(reports[index].json()))
    return found[::-1]


def _has_run(progress: Any) -> bool:
    """Whether a report belongs to a micro-batch that was computed."""
    return bool(progress.durationMs().containsKey(ADD_BATCH))


def map_in_arrow(
    rows: DataFrame, function: Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]], schema: StructType
) -> DataFrame:
    """Return the result of `DataFrame.mapInArrow`, without its needless import of pandas in the driver.

    Parameters
    ----------
    rows
        The input; all of its columns are passed to the function.
    function
        Maps the Arrow batches of a partition to those of its result.
    schema
        The schema of the result.
    """
    make = find("pyspark.sql.udf.UserDefinedFunction")
    kind = find("pyspark.util.PythonEvalType.SQL_MAP_ARROW_ITER_UDF")
    column = make(function, returnType=schema, evalType=kind)(*(rows[name] for name in rows.columns))
    mapped = _attribute(rows, "_jdf").mapInArrow(_attribute(column, "_jc"), False, None)
    result: DataFrame = find("pyspark.sql.classic.dataframe.DataFrame")(mapped, rows.sparkSession)
    return result


def daemon() -> Any:
    """Return the module of the process that forks Python workers: `manager` runs it, `worker` is one of them."""
    find("pyspark.daemon.manager")
    return importlib.import_module("pyspark.daemon")


def forget_value(broadcast: object) -> None:
    """Release a worker's copy of a broadcast value; a later access reads it again."""
    vars(broadcast).pop("_value", None)


def load_test_utilities_without_pandas() -> None:
    """Import pyspark's test utilities as if pandas were not installed.

    pyspark itself uses them to check for NumPy, at the first `lit` and the first argument of a Java call. They import
    pandas, which takes 0.25 s and memory that the driver keeps. Only for a process whose program is known, because
    afterwards `pyspark.testing` cannot compare pandas DataFrames in it.
    """
    if "pandas" in sys.modules:
        return
    # This makes an import fail.
    sys.modules["pandas"] = None  # type: ignore[assignment]
    try:
        find("pyspark.testing.utils.have_numpy")
    finally:
        del sys.modules["pandas"]


def reset_uid(stage: Any, uid: str) -> None:
    """Set the uid of a loaded stage to the one that it was saved with."""
    _attribute(stage, "_resetUid")(uid)


def java_session(spark: SparkSession) -> Any:
    """Return the Java object of a session."""
    return _attribute(spark, "_jsparkSession")


def task_slots(context: SparkContext) -> int:
    """Return the number of tasks that the currently registered executors can run at once."""
    java = _attribute(context, "_jsc").sc()
    return int(java.maxNumConcurrentTasks(java.resourceProfileManager().defaultResourceProfile()))
