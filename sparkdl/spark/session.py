"""A Spark session with the defaults that images want, local unless `spark-submit` or `--conf` says otherwise."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sparkdl.errors import SparkdlError
from sparkdl.spark.jars import session_jars
from sparkdl.spark.java import cds_options, ensure_java
from sparkdl.spark.private import gateway, start_gateway, use_gateway
from sparkdl.system.terminal import printable

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_NOISE = (
    "WARNING: Using incubator modules",  # Spark asks for the vector module of every Java that has it
    "netlib-blas:",  # a native library that is optional
    "Using Spark's default log4j profile",
)
_IVY_BEGINS, _IVY_ENDS = ":: loading settings ::", "already retrieved ("
_REMEMBERED = 1000  # lines
_LOGGING = Path(__file__).with_name("log4j2.properties")
LOOPBACK = "127.0.0.1"
# The Python with which the JVM looks for data sources that other packages may bring, and does nothing else. Where there
# is none it does not look, which would take its time at the start and leave two processes.
_LOOKED_UP_WITH, _NO_PYTHON = "PYSPARK_DRIVER_PYTHON", "no-python"
_MAX_SOCKET_DIRECTORY_BYTES = 60  # bytes; the path of a socket has 107, and Spark's names take 42
_ANOTHER_PLACE = "set TMPDIR to another place"
SAFE_PATH = ("PYTHONSAFEPATH", "1")
"""Keeps Python from importing modules of its working directory, which is first on the path of workers (`-m`)."""

JAVA_OPTIONS = f"-Dlog4j2.configurationFile=file:{_LOGGING}"
"""Of every driver that this process starts itself."""

DEFAULTS: dict[str, str] = {
    # An image is large: Spark's 10,000 rows an Arrow batch would be gigabytes.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "256",
    "spark.sql.execution.arrow.maxBytesPerBatch": "2m",
    # Micro-batches are short jobs on few rows: code generation costs more than it saves.
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    # Settings whose values Spark's UI and event logs hide. Spark's default misses the keys of accounts and logins.
    "spark.redaction.regex": (
        "(?i)secret|password|passphrase|credential|token|(access|account|private|keystore)[.]?key|jaas|[.]sas[.]"
    ),
    # Options of a source whose values query plans hide. Spark's default hides addresses and what is called a secret or
    # a password; a key of TLS is called neither.
    "spark.sql.redaction.options.regex": "(?i)url|ssl[.]keystore[.]key|sasl[.]jaas[.]config",
}
"""Good for images, and for secrets, on any master."""

LOCAL_DEFAULTS: dict[str, str] = {
    # A task whose Python worker died is tried again, up to 4 times in all, as a cluster does.
    "spark.master": "local[*,4]",
    "spark.sql.shuffle.partitions": str(os.cpu_count() or 2),
    "spark.driver.memory": "2g",
    # Nobody but this machine has business with the driver.
    "spark.driver.bindAddress": LOOPBACK,
    "spark.driver.host": LOOPBACK,
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.extraJavaOptions": f"{JAVA_OPTIONS} -XX:+UseParallelGC",
}
"""For a driver that this process starts itself; `spark-submit` brings its own."""


def spark_session(
    app: str,
    conf: Mapping[str, str] | None = None,
    locks: Sequence[Path] = (),
    *,
    other_sources: bool = True,
) -> SparkSession:
    """The session of this process, started if there is none.

    Its Python workers import nothing from the working directory: modules that functions of yours need there are brought
    by `spark.sparkContext.addPyFile` or `PYTHONPATH`.

    Parameters
    ----------
    app
        The application's name.
    conf
        Spark settings that override `DEFAULTS` and `LOCAL_DEFAULTS`, `spark.master` among them.
    locks
        Lists of jars that are needed (`sparkdl.spark.jars`), to a session that has been started already no more added.
        `conf` may bring them otherwise: as `spark.jars` or `spark.jars.packages`.
    other_sources
        Whether Spark looks for data sources that other packages may bring, as it does by itself.

    Raises
    ------
    SparkdlError
        If there is no Java to run Spark on, or a jar cannot be had or is another than the list says.
    """
    from pyspark.sql import SparkSession

    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    archive = ""
    if not submitted:
        archive = cds_options(ensure_java())
        # Spark would take the first `python3` of the path, which need not be the one that has these packages.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        # The one way to tell Spark's UI where to listen, if it is asked for; otherwise on all addresses.
        os.environ.setdefault("SPARK_LOCAL_IP", LOOPBACK)
    conf = conf or {}
    jars = ",".join(path.as_uri() for path in session_jars(locks)) if locks and takes_jars(conf) else ""
    settings = {**DEFAULTS, **({} if submitted else LOCAL_DEFAULTS), **({"spark.jars": jars} if jars else {}), **conf}
    if not submitted:
        settings["spark.driver.extraJavaOptions"] = f"{settings['spark.driver.extraJavaOptions']} {archive}".strip()
        scratch = str(scratch_directory())
        master = settings["spark.master"]
        settings = {
            "spark.local.dir": scratch,
            **python_sockets(master, scratch),
            **authentication(settings),
            **settings,
        }
        os.environ.setdefault(*SAFE_PATH)  # inherited by the JVM and the Python processes that it starts
        _start_jvm(settings, other_sources=other_sources)
    builder = SparkSession.builder.appName(app)
    for key, value in settings.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.environment.setdefault(*SAFE_PATH)
    return spark


def takes_jars(conf: Mapping[str, str]) -> bool:
    """Whether a session gets the jars of lists: neither `conf` brings some, nor `spark-submit` does."""
    return "PYSPARK_GATEWAY_PORT" not in os.environ and conf.keys().isdisjoint({"spark.jars", "spark.jars.packages"})


def private_directory(parent: Path) -> Path:
    """A directory below `parent`, which all users may write to, that nobody else may look into.

    Spark puts there what does not fit in memory, images among it, in directories that all users may read.

    Raises
    ------
    SparkdlError
        If it cannot be made, somebody else has made it, or others may look into it.
    """
    directory = parent / f"sparkdl-{os.getuid()}"
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        status = directory.lstat()
    except OSError as error:
        raise SparkdlError(f"{directory} cannot be made ({error.strerror}): {_ANOTHER_PLACE}") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise SparkdlError(f"{directory} is not a directory of this user alone: remove it, or {_ANOTHER_PLACE}")
    return directory


@cache
def scratch_directory() -> Path:
    """A directory of this process's own in its user's private one, held as long as the process lives.

    What Spark leaves there when it ends, or is killed, goes at the next start, as all does that no process holds.

    Raises
    ------
    SparkdlError
        As `private_directory` does.
    """
    parent = private_directory(Path(tempfile.gettempdir()))
    turn = _lock(parent, fcntl.LOCK_EX)  # a directory that has just been made is not held yet
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
    """A descriptor that holds a lock on a directory until it is closed, by the end of the process at the latest."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, operation)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def python_sockets(master: str, directory: str) -> dict[str, str]:
    """Settings by which Spark speaks to Python workers on this machine through sockets in a directory.

    Over TCP each task of theirs begins 40 ms late: Spark sends twice and its second packet waits until the first has
    been acknowledged, which Linux delays.
    """
    if not master.startswith("local") or len(directory) > _MAX_SOCKET_DIRECTORY_BYTES:
        return {}
    return {"spark.python.unix.domain.socket.enabled": "true", "spark.python.unix.domain.socket.dir": directory}


def authentication(settings: Mapping[str, str]) -> dict[str, str]:
    """Settings by which a driver whose executors are threads of its own hears nobody else on its ports.

    Spark makes the secret itself, which no other process is given. Without it every user of the machine can read blocks
    of the block manager, put in others, and send messages to the driver.
    """
    master = settings["spark.master"]
    if "spark.authenticate" in settings or not master.startswith("local") or master.startswith("local-cluster"):
        return {}
    return {
        "spark.authenticate": "true",
        # In place of DIGEST-MD5; in a driver on its own no byte is ever encrypted.
        "spark.network.crypto.enabled": "true",
        "spark.network.crypto.saslFallback": "false",
    }


def _start_jvm(settings: Mapping[str, str], *, other_sources: bool) -> None:
    """Starts the driver's JVM, if there is none yet, with what it says on stderr passed on but for known noise."""
    from pyspark.errors import PySparkRuntimeError

    if gateway() is not None:
        return
    reading, writing = os.pipe()
    said: list[str] = []
    listener = threading.Thread(target=_pass_on, args=(reading, said), daemon=True, name="jvm-stderr")
    listener.start()
    try:
        with nullcontext() if other_sources else _environment(_LOOKED_UP_WITH, _NO_PYTHON):
            # What the JVM prints is words too: stdout is for the data of the program that this is part of.
            started = start_gateway(settings, {"stdout": writing, "stderr": writing})
    except PySparkRuntimeError as error:
        os.close(writing)
        listener.join()
        raise SparkdlError(_why_not_started(said, settings)) from error
    os.close(writing)
    said.clear()
    use_gateway(started)


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """What a process that is started within has for the variable `name`."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _why_not_started(said: list[str], settings: Mapping[str, str]) -> str:
    """The reason in what a JVM said that did not come to be Spark's."""
    if any("unresolved dependency" in line for line in said):
        return (
            f"{settings.get('spark.jars.packages')} cannot be fetched: name a repository that has it in "
            "--conf spark.jars.ivySettings=FILE, or pass --conf spark.jars=FILE,... with the jars and what they need"
        )
    reasons = [line for line in said if "Exception" in line or "Error" in line] or said[-1:]
    return f"Spark did not start: {reasons[0] if reasons else 'its JVM ended at once'}"


def _pass_on(reading: int, said: list[str]) -> None:
    """Copies lines to stderr, and to `said` until Spark runs; the report of Ivy, which fetches jars, goes to `said`."""
    fetching = False
    with os.fdopen(reading, "r", errors="replace") as lines:
        for line in lines:
            if len(said) < _REMEMBERED:
                said.append(line.strip())
            fetching = fetching or line.startswith(_IVY_BEGINS)
            if not fetching and not line.startswith(_NOISE):
                sys.stderr.write(printable(line, keep="\n\t"))
            fetching = fetching and _IVY_ENDS not in line
