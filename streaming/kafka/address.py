"""Kafka addresses: kafka://HOST:PORT[,HOST:PORT]/TOPIC."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sparkdl.errors import RequestError
from sparkdl.system.extras import require_extra

SCHEME = "kafka://"
FORM = f"{SCHEME}HOST:PORT[,HOST:PORT]/TOPIC"
_SERVERS = re.compile(r"[^\s,/]+:\d{1,5}(,[^\s,/]+:\d{1,5})*")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")


@dataclass(frozen=True)
class KafkaAddress:
    """`kafka://HOST:PORT[,HOST:PORT]/TOPIC`.

    Attributes
    ----------
    servers
        `HOST:PORT[,HOST:PORT]`.
    topic
        The name of a topic, several names separated by commas, or a Java regular expression: any text with a character
        that is not allowed in a topic name.
    """

    servers: str
    topic: str

    @classmethod
    def parse(cls, address: str) -> KafkaAddress:
        """Return the parts of an address.

        Raises
        ------
        RequestError
            If the address has another form, or the extra `kafka` is not installed.
        """
        servers, _, topic = address.removeprefix(SCHEME).partition("/")
        if not address.startswith(SCHEME) or not topic or not _SERVERS.fullmatch(servers):
            raise RequestError(f"expected a Kafka address as {FORM}, received {address!r}")
        require_extra("kafka", address)
        return cls(servers, topic)

    @property
    def topics(self) -> tuple[str, ...] | None:
        """The names of the topics, None if the address has a pattern."""
        names = tuple(self.topic.split(","))
        return names if all(_NAME.fullmatch(name) for name in names) else None

    @property
    def single_topic(self) -> str:
        """The name of the topic, for addresses of exactly one.

        Raises
        ------
        RequestError
            If the address names several, or a pattern.
        """
        if not _NAME.fullmatch(self.topic):
            raise RequestError(f"expected the name of one topic, received {self.topic!r}")
        return self.topic

    def __str__(self) -> str:
        return f"{SCHEME}{self.servers}/{self.topic}"


def is_kafka(address: str) -> bool:
    """Whether `address` is intended as a Kafka address."""
    return address.startswith("kafka:")
