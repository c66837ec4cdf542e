"""What a Spark session has to be started with for a stream: jars and settings.

`kafka.lock` and `delta.lock` beside this module list the jars that a connector needs besides Spark's own, with their
digests; `make lock-jars` makes them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sparkdl.spark.session import JAVA_OPTIONS
from streaming.kafka.address import is_kafka
from streaming.kafka.admin import CONNECTOR
from streaming.sinks import delta_session


@dataclass(frozen=True)
class Connector:
    """A Maven package, the list of its jars, the Spark settings that it needs, and the addresses that need it."""

    serves: Callable[[str], bool]
    package: str
    lock: Path
    conf: dict[str, str] = field(default_factory=dict)


# Hadoop starts `chmod` for each file and directory that it makes on a local disk, many in each micro-batch. This is the
# fastest way to start a process, and there on Linux only: elsewhere Java could start none any more.
_LAUNCH = " -Djdk.lang.Process.launchMechanism=VFORK" if sys.platform == "linux" else ""

CONF = {
    # A micro-batch's plan is new each time, and what is computed is computed in Python: the compiler that takes long to
    # make fast code does not earn its time. What a micro-batch leaves behind is little.
    "spark.driver.extraJavaOptions": f"{JAVA_OPTIONS} -XX:TieredStopAtLevel=1 -XX:+UseSerialGC "
    f"-XX:MaxNewSize=64m -XX:MinHeapFreeRatio=15 -XX:MaxHeapFreeRatio=30{_LAUNCH}",
    # Spark's choice for a local checkpoint starts `readlink` again and again for each file that it renames. With this
    # one two drivers that race for a file can both believe to have made it: that there is one driver only is for the
    # checkpoint's lock to see to (`streaming.checkpoint.lock`).
    "spark.sql.streaming.checkpointFileManagerClass": (
        "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"
    ),
    # A micro-batch's outcomes are kept for the moment between its two writes.
    "spark.sql.inMemoryColumnarStorage.compressed": "false",
    # What Spark remembers of the past for its UI, each micro-batch again: by default the plans of 1,000 of them.
    "spark.sql.ui.retainedExecutions": "50",
    "spark.ui.retainedJobs": "50",
    "spark.ui.retainedStages": "50",
    "spark.ui.retainedTasks": "1000",
}
"""Of every stream."""

_HERE = Path(__file__).parent
CONNECTORS = (
    Connector(is_kafka, CONNECTOR, _HERE / "kafka.lock"),
    Connector(delta_session.is_delta, delta_session.PACKAGE, _HERE / "delta.lock", delta_session.CONF),
)


def connectors_for(*addresses: str) -> list[Connector]:
    """The connectors that `addresses` need; none for directories of files."""
    return [connector for connector in CONNECTORS if any(map(connector.serves, addresses))]


def locks_for(*addresses: str) -> list[Path]:
    """The lists of the jars that `addresses` need, for `spark_session`."""
    return [connector.lock for connector in connectors_for(*addresses)]


def stream_conf(*addresses: str) -> dict[str, str]:
    """The Spark settings of a stream between `addresses`, static ones among them."""
    return CONF | {key: value for connector in connectors_for(*addresses) for key, value in connector.conf.items()}
