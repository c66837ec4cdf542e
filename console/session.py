"""The Spark session of a command."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from console.progress import fetching, working

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from streaming.spark_conf import Connector


def start_spark(
    conf: Sequence[str] = (),
    connectors: Sequence[Connector] = (),
    needed: Mapping[str, str] | None = None,
    meanwhile: Callable[[], None] = lambda: None,
) -> SparkSession:
    """Start Spark, and show on stderr that it starts.

    Parameters
    ----------
    conf
        `KEY=VALUE` of each `--conf`, which override `needed`.
    connectors
        Those whose jars the session loads.
    needed
        Settings that the command needs.
    meanwhile
        What the command does while Java starts; it needs no Spark.
    """
    from sparkdl.spark.jars import session_jars
    from sparkdl.spark.private import load_test_utilities_without_pandas
    from sparkdl.spark.session import spark_session, takes_jars

    def load() -> None:
        load_test_utilities_without_pandas()
        meanwhile()

    settings = dict(needed or {}) | dict(setting.split("=", 1) for setting in conf)
    names, locks = [connector.package for connector in connectors], [connector.lock for connector in connectors]
    if locks and takes_jars(settings):
        with fetching(", ".join(names)) as note:
            session_jars(locks, note)
    with working(f"starting Spark{' with ' if names else ''}{', '.join(names)}"):
        return spark_session("sparkdl", settings, locks, other_sources=False, meanwhile=load)
