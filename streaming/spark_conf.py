"""Spark settings and connector jars of a stream's session.

`kafka.lock` and `delta.lock` in this package list the jars that a connector needs in addition to Spark's own, with
their digests; `make lock-jars` writes them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sparkdl.spark.private import CHECKPOINT_FILE_MANAGER
from sparkdl.spark.session import JAVA_OPTIONS


@dataclass(frozen=True)
class Connector:
    """A Maven package that Spark needs for a source or a sink.

    Attributes
    ----------
    package
        `GROUP:ARTIFACT:VERSION`.
    lock
        The list of its jars (`sparkdl.spark.jars`).
    conf
        The Spark settings that it needs.
    """

    package: str
    lock: Path
    conf: dict[str, str] = field(default_factory=dict)


# Spark's classes need more than Java's initial limit of 21 MB. Reaching it causes a full collection during the start.
_METASPACE = " -XX:MetaspaceSize=160m"

# Hadoop starts `chmod` for each file and directory that it creates on a local disk, many in each micro-batch. VFORK is
# the fastest way to start a process. It exists on Linux only; on other systems Java could not start any process.
_LAUNCH = " -Djdk.lang.Process.launchMechanism=VFORK" if sys.platform == "linux" else ""

CONF = {
    # The user's own options, `spark.driver.extraJavaOptions`, come after these. Each micro-batch has a new plan and
    # computes in Python, so the optimizing compiler costs more than it saves. Without that compiler, Java reserves only
    # 48 MiB for compiled code by default. They are full after a minute, and then all threads stop for 1 to 2 s while
    # code is removed. With less survivor space, the objects of a micro-batch would be promoted to the old generation,
    # with a full collection every 15 s.
    "spark.driver.defaultJavaOptions": f"{JAVA_OPTIONS} -XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m "
    "-XX:+UseSerialGC -XX:NewSize=128m -XX:MaxNewSize=128m -XX:SurvivorRatio=3 -XX:TargetSurvivorRatio=90"
    f"{_METASPACE}{_LAUNCH}",
    # Spark's default for a local checkpoint starts `readlink` several times for each file that it renames. With this
    # manager two drivers that race for a file can both believe that they created it, but the checkpoint lock ensures
    # that there is only one driver (`streaming.checkpoint.lock`).
    "spark.sql.streaming.checkpointFileManagerClass": CHECKPOINT_FILE_MANAGER,
    # The results of a micro-batch are cached between its two writes only.
    "spark.sql.inMemoryColumnarStorage.compressed": "false",
    # Progress reports that Spark keeps. They are read ten times a second, except while a model loads.
    "spark.sql.streaming.numRecentProgressUpdates": "1000",
    # The number of past micro-batches that Spark keeps for its UI; by default the plans of 1,000.
    "spark.sql.ui.retainedExecutions": "50",
    "spark.ui.retainedJobs": "50",
    "spark.ui.retainedStages": "50",
    "spark.ui.retainedTasks": "1000",
}
"""Settings of every stream."""

_HERE = Path(__file__).parent
KAFKA = Connector("org.apache.spark:spark-sql-kafka-0-10_2.13:4.2.0", _HERE / "kafka.lock")
DELTA = Connector(
    "io.delta:delta-spark_4.2_2.13:4.4.0",
    _HERE / "delta.lock",
    {
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        # Partitions for computing the state of a table; the default, 50, suits tables of millions of files.
        "spark.databricks.delta.snapshotPartitions": "2",
    },
)


def stream_conf(connectors: Iterable[Connector] = ()) -> dict[str, str]:
    """Return the Spark settings of a stream that uses `connectors`, including static ones."""
    return CONF | {key: value for connector in connectors for key, value in connector.conf.items()}
