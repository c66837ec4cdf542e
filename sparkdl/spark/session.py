"""Spark session with defaults for images, local unless `spark-submit` or `--conf` sets another master."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sparkdl.errors import SparkdlError
from sparkdl.spark.jars import session_jars
from sparkdl.spark.java import cds_options, ensure_java
from sparkdl.spark.jvm import start_jvm
from sparkdl.spark.worker_python import is_local, worker_daemon, worker_python

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_LOGGING = Path(__file__).with_name("log4j2.properties")
LOOPBACK = "127.0.0.1"
_MAX_SOCKET_DIRECTORY_BYTES = 60  # bytes; the path of a socket has 107, and Spark's names take 42
_ANOTHER_PLACE = "set TMPDIR to another place"
SAFE_PATH = ("PYTHONSAFEPATH", "1")
"""Prevents Python from importing modules of its working directory, which is first on the path of workers (`-m`)."""

JAVA_OPTIONS = f"-Dlog4j2.configurationFile=file:{_LOGGING}"
"""Java options of every driver that this process starts itself."""

DEFAULTS: dict[str, str] = {
    # Images are large: Spark's default of 10,000 rows per Arrow batch would be gigabytes.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "256",
    "spark.sql.execution.arrow.maxBytesPerBatch": "2m",
    # Micro-batches are short jobs on few rows: code generation costs more than it saves.
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    # Settings whose values Spark's UI and event logs hide. Spark's default omits the keys of accounts and logins.
    "spark.redaction.regex": (
        "(?i)secret|password|passphrase|credential|token|(access|account|private|keystore)[.]?key|jaas|[.]sas[.]"
    ),
    # Options of a source whose values query plans hide. Spark's default hides addresses and names with "secret" or
    # "password", which the name of a TLS key does not contain.
    "spark.sql.redaction.options.regex": "(?i)url|ssl[.]keystore[.]key|sasl[.]jaas[.]config",
}
"""Settings for images and secrets, on any master."""

LOCAL_DEFAULTS: dict[str, str] = {
    # A task whose Python worker died is retried, up to 4 attempts in total, as on a cluster.
    "spark.master": "local[*,4]",
    "spark.sql.shuffle.partitions": str(os.cpu_count() or 2),
    "spark.driver.memory": "2g",
    # Only this machine may connect to the driver.
    "spark.driver.bindAddress": LOOPBACK,
    "spark.driver.host": LOOPBACK,
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.defaultJavaOptions": f"{JAVA_OPTIONS} -XX:+UseParallelGC",
}
"""Settings for a driver that this process starts itself; `spark-submit` has its own."""


def spark_session(
    app: str,
    conf: Mapping[str, str] | None = None,
    locks: Sequence[Path] = (),
    *,
    other_sources: bool = True,
    meanwhile: Callable[[], None] = lambda: None,
) -> SparkSession:
    """Return the session of this process; start one if there is none.

    Its Python workers import nothing from the working directory: add modules that your functions need with
    `spark.sparkContext.addPyFile` or `PYTHONPATH`.

    Parameters
    ----------
    app
        The application's name.
    conf
        Spark settings that override `DEFAULTS` and `LOCAL_DEFAULTS`, `spark.master` among them.
    locks
        Lists of required jars (`sparkdl.spark.jars`); they are not added to a session that is already started. `conf`
        can name the jars instead, as `spark.jars` or `spark.jars.packages`.
    other_sources
        Whether Spark searches for data sources of other packages, as it does by default.
    meanwhile
        Called while the JVM starts; must not need Spark.

    Raises
    ------
    SparkdlError
        If there is no Java for Spark, or a jar cannot be fetched or has another digest than in the list.
    """

    def load() -> None:
        meanwhile()
        import pyspark.sql  # noqa: F401 - imported here while the JVM starts, because it takes time

    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    archive = ""
    if not submitted:
        archive = cds_options(ensure_java())
        # The only way to set the address of Spark's UI, if it is enabled; by default it listens on all addresses.
        os.environ.setdefault("SPARK_LOCAL_IP", LOOPBACK)
    conf = conf or {}
    jars = ",".join(path.as_uri() for path in session_jars(locks)) if locks and takes_jars(conf) else ""
    settings = {**DEFAULTS, **({} if submitted else LOCAL_DEFAULTS), **({"spark.jars": jars} if jars else {}), **conf}
    if not submitted:
        settings["spark.driver.defaultJavaOptions"] = f"{settings['spark.driver.defaultJavaOptions']} {archive}".strip()
        scratch = str(scratch_directory())
        master = settings["spark.master"]
        # Spark would use the first `python3` on the path, which may not have these packages.
        if "PYSPARK_PYTHON" not in os.environ:
            os.environ["PYSPARK_PYTHON"] = worker_python(master)
        settings = {
            "spark.local.dir": scratch,
            **python_sockets(master, scratch),
            **worker_daemon(master),
            **authentication(settings),
            **settings,
        }
        os.environ.setdefault(*SAFE_PATH)  # inherited by the JVM and the Python processes that it starts
        start_jvm(settings, other_sources=other_sources, meanwhile=load)
    else:
        load()
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName(app)
    for key, value in settings.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.environment.setdefault(*SAFE_PATH)
    return spark


def takes_jars(conf: Mapping[str, str]) -> bool:
    """Return whether a session gets the jars of lists, that is, neither `conf` nor `spark-submit` sets jars."""
    return "PYSPARK_GATEWAY_PORT" not in os.environ and conf.keys().isdisjoint({"spark.jars", "spark.jars.packages"})


def private_directory(parent: Path) -> Path:
    """Return a directory that no other user can read, below `parent`, which all users can write to.

    Spark spills data that does not fit in memory, including images, into directories that all users can read.

    Raises
    ------
    SparkdlError
        If it cannot be created, belongs to another user, or is accessible to others.
    """
    directory = parent / f"sparkdl-{os.getuid()}"
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        status = directory.lstat()
    except OSError as error:
        raise SparkdlError(f"{directory} cannot be created ({error.strerror}): {_ANOTHER_PLACE}") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise SparkdlError(f"{directory} is not a directory of this user alone: remove it, or {_ANOTHER_PLACE}")
    return directory


@cache
def scratch_directory() -> Path:
    """Return this process's own directory below its user's private one, locked until the process ends.

    The next start removes directories without a lock, such as that of a killed process.

    Raises
    ------
    SparkdlError
        As in `private_directory`.
    """
    parent = private_directory(Path(tempfile.gettempdir()))
    turn = _lock(parent, fcntl.LOCK_EX)  # a new directory is not locked yet
    try:
        for old in parent.glob("*/"):
            with suppress(OSError):
                os.close(_lock(old, fcntl.LOCK_EX | fcntl.LOCK_NB))
                shutil.rmtree(old)
        mine = Path(tempfile.mkdtemp(dir=parent, prefix=""))
        _lock(mine, fcntl.LOCK_EX)
        return mine
    finally:
        os.close(turn)


def _lock(directory: Path, operation: int) -> int:
    """Return a descriptor that holds a lock on a directory until it is closed."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, operation)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def python_sockets(master: str, directory: str) -> dict[str, str]:
    """Return settings for communication with Python workers on this machine through Unix domain sockets in a directory.

    Over TCP each task begins 40 ms late: Spark sends two short packets, and the second waits for the acknowledgement of
    the first, which Linux delays.
    """
    if not master.startswith("local") or len(directory) > _MAX_SOCKET_DIRECTORY_BYTES:
        return {}
    return {"spark.python.unix.domain.socket.enabled": "true", "spark.python.unix.domain.socket.dir": directory}


def authentication(settings: Mapping[str, str]) -> dict[str, str]:
    """Return settings with which a driver without other executors accepts no other process on its ports.

    Spark generates the secret, which no other process receives. Without it every user of the machine can read and write
    blocks of the block manager, and send messages to the driver.
    """
    master = settings["spark.master"]
    if "spark.authenticate" in settings or not is_local(master):
        return {}
    return {
        "spark.authenticate": "true",
        # Replaces DIGEST-MD5; a driver without executors never encrypts a byte.
        "spark.network.crypto.enabled": "true",
        "spark.network.crypto.saslFallback": "false",
    }
