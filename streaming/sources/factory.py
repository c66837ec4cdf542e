"""The table of source kinds, and the source at an address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sparkdl.errors import RequestError
from streaming.sources.base import Source
from streaming.sources.directory.source import DirectorySource
from streaming.sources.kafka import KafkaSource

SOURCES: dict[str, tuple[str, Callable[..., Source]]] = {
    "": ("a directory", DirectorySource.from_address),
    "kafka": ("kafka://HOST:PORT/TOPIC", KafkaSource.from_address),
}
"""For each address scheme: the form of the address, and a function from address and settings to the source."""

FORMS = " or ".join(form for form, _ in SOURCES.values())


def parse_source(address: str, **settings: Any) -> Source:
    """Return the source at an address; does not check that it exists.

    Parameters
    ----------
    address
        One of `FORMS`.
    settings
        The settings of a stream (`streaming.settings.StreamSettings`); each kind uses its own and ignores the rest.

    Raises
    ------
    RequestError
        If the address has none of the forms, or a setting does not apply to this kind of source.
    """
    scheme, separator, rest = address.partition(":")
    if not separator or (scheme not in SOURCES and not rest.startswith("//")):
        scheme = ""  # a path, which may contain a colon
    if scheme not in SOURCES:
        raise RequestError(f"expected --source as {FORMS}, received {address!r}")
    return SOURCES[scheme][1](address, **settings)
