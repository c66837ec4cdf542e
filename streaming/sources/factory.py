"""The kinds of sources: an address becomes a source."""

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
"""By the scheme of its address: the form of the address, and what makes the source of an address and settings."""

FORMS = " or ".join(form for form, _ in SOURCES.values())


def parse_source(address: str, **settings: Any) -> Source:
    """Return the source at an address; asks nobody whether it is there.

    Parameters
    ----------
    address
        One of `FORMS`.
    settings
        Those of a stream (`streaming.settings.StreamSettings`); each kind takes its own and ignores the others.

    Raises
    ------
    RequestError
        If the address has none of the forms, or the settings are not for this kind of source.
    """
    scheme, separator, rest = address.partition(":")
    if not separator or (scheme not in SOURCES and not rest.startswith("//")):
        scheme = ""  # a path, which may hold a colon
    if scheme not in SOURCES:
        raise RequestError(f"expected --source as {FORMS}, received {address!r}")
    return SOURCES[scheme][1](address, **settings)
