"""What a Spark session has to be started with for the addresses of a stream: jars and settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from streaming import delta, kafka


@dataclass(frozen=True)
class Connector:
    """A Maven package with the Spark settings that it needs, and the addresses that need both."""

    serves: Callable[[str], bool]
    package: str
    conf: dict[str, str] = field(default_factory=dict)


CONNECTORS = (Connector(kafka.is_kafka, kafka.CONNECTOR), Connector(delta.is_delta, delta.PACKAGE, delta.CONF))


def packages_for(*addresses: str) -> tuple[str, ...]:
    """The Maven coordinates of what `addresses` need; none for directories of files."""
    return tuple(connector.package for connector in _needed(addresses))


def conf_for(*addresses: str) -> dict[str, str]:
    """The Spark settings that `addresses` need, static ones among them."""
    return {key: value for connector in _needed(addresses) for key, value in connector.conf.items()}


def _needed(addresses: tuple[str, ...]) -> list[Connector]:
    return [connector for connector in CONNECTORS if any(map(connector.serves, addresses))]
