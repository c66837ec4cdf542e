"""The jars of Apache Kafka for the local broker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sparkdl.spark.jars import fetch_jars
from sparkdl.system.cache import cache_directory

KAFKA = "4.2.0"
"""The version of Apache Kafka."""

LOCK = Path(__file__).with_name("kafka.lock")
"""The list of the jars that a broker and its tools need."""


def jars_directory() -> Path:
    """Return the directory of the broker's jars."""
    return cache_directory(f"kafka-{KAFKA}")


def broker_jars(on_progress: Callable[[int, int], None] | None = None) -> list[Path]:
    """Return the jars of a broker; see `sparkdl.spark.jars.fetch_jars`."""
    return fetch_jars(LOCK, jars_directory(), on_progress)
