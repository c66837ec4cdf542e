"""The table of source kinds, and the source at an address."""

from __future__ import annotations

from typing import Any

from sparkdl.errors import RequestError
from streaming.kinds import Kind
from streaming.sources.base import Source
from streaming.sources.directory.source import DirectorySource
from streaming.sources.kafka import KafkaSource

SOURCES: dict[str, Kind[Source]] = {
    "": Kind("a directory", DirectorySource),
    "kafka": Kind("kafka://HOST:PORT/TOPIC", KafkaSource.from_address),
}
"""The kinds of sources, by the scheme of their addresses."""

FORMS = " or ".join(kind.form for kind in SOURCES.values())


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
    return SOURCES[scheme].at(address, settings)
