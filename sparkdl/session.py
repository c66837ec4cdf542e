"""A Spark session with the defaults that images want, local unless `spark-submit` or `--conf` says otherwise."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sparkdl.java import ensure_java

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_NOISE = (
    "WARNING: Using incubator modules",  # Spark asks for the vector module of every Java that has it
    "netlib-blas:",  # a native library that is optional
    "Using Spark's default log4j profile",
)
_LOGGING = Path(__file__).with_name("log4j2.properties")

DEFAULTS: dict[str, str] = {
    # An image is large: Spark's 10,000 rows an Arrow batch would be gigabytes.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "256",
    "spark.sql.execution.arrow.maxBytesPerBatch": "32m",
    # Micro-batches are short jobs on few rows: code generation costs more than it saves.
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
}
"""Good for images on any master."""

LOCAL_DEFAULTS: dict[str, str] = {
    "spark.master": "local[*]",
    "spark.sql.shuffle.partitions": str(os.cpu_count() or 2),
    "spark.driver.memory": "2g",
    # Nobody but this machine has business with the driver.
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile=file:{_LOGGING} -XX:+UseParallelGC",
}
"""For a driver that this process starts itself; `spark-submit` brings its own."""


def spark_session(app: str, conf: Mapping[str, str] | None = None) -> SparkSession:
    """The session of this process, started if there is none.

    Parameters
    ----------
    app
        The application's name.
    conf
        Spark settings that override `DEFAULTS` and `LOCAL_DEFAULTS`, `spark.master` among them.

    Raises
    ------
    SparkdlError
        If there is no Java to run Spark on.
    """
    from pyspark.sql import SparkSession

    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    if not submitted:
        ensure_java()
        # Spark would take the first `python3` of the path, which need not be the one that has these packages.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    settings = {**DEFAULTS, **({} if submitted else LOCAL_DEFAULTS), **(conf or {})}
    if not submitted:
        _start_jvm(settings)
    builder = SparkSession.builder.appName(app)
    for key, value in settings.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def _start_jvm(settings: Mapping[str, str]) -> None:
    """Starts the driver's JVM, if there is none yet, with what it says on stderr passed on but for known noise."""
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway

    if SparkContext._gateway is not None:
        return
    reading, writing = os.pipe()
    conf = SparkConf(loadDefaults=False).setAll(list(settings.items()))
    SparkContext._ensure_initialized(gateway=launch_gateway(conf, {"stderr": writing}))  # type: ignore[no-untyped-call]
    os.close(writing)
    threading.Thread(target=_pass_on, args=(reading,), daemon=True, name="jvm-stderr").start()


def _pass_on(reading: int) -> None:
    with os.fdopen(reading, "r", errors="replace") as lines:
        for line in lines:
            if not line.startswith(_NOISE):
                sys.stderr.write(line)
