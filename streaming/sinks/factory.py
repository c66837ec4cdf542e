"""The table of sink kinds, and the sink at an address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sparkdl.errors import RequestError
from streaming.sinks.base import Sink
from streaming.sinks.console import ConsoleSink
from streaming.sinks.delta import DeltaSink
from streaming.sinks.kafka import KafkaSink
from streaming.sinks.parquet import ParquetSink

SINKS: dict[str, tuple[str, Callable[..., Sink]]] = {
    "parquet": ("parquet:DIR", ParquetSink.from_address),
    "delta": ("delta:DIR", DeltaSink.from_address),
    "": ("a directory", ParquetSink.from_address),
    "kafka": ("kafka://HOST:PORT/TOPIC", KafkaSink.from_address),
    "console": ("console", ConsoleSink.from_address),
}
"""For each address scheme: the form of the address, and a function from address and settings to the sink."""

*_first, _last = (form for form, _ in SINKS.values())
FORMS = f"{', '.join(_first)} or {_last}"


def parse_sink(address: str, **settings: Any) -> Sink:
    """Return the sink at an address; writes nothing and contacts no server.

    Parameters
    ----------
    address
        One of `FORMS`.
    settings
        The settings of a stream (`streaming.settings.StreamSettings`); each kind uses its own and ignores the rest.

    Raises
    ------
    RequestError
        If the address has none of the forms, or a setting does not apply to this kind of sink.
    """
    scheme, separator, _ = address.partition(":")
    if not separator and SINKS.get(address, ("",))[0] == address:
        scheme = address  # a form without a location, such as `console`
    elif not separator or "/" in scheme:
        scheme = ""  # a path, which may contain a colon
    if scheme not in SINKS or (separator and SINKS[scheme][0] == scheme):
        raise RequestError(f"expected the sink as {FORMS}, received {address!r}")
    return SINKS[scheme][1](address, **settings)
