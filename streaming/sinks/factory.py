"""The kinds of sinks: an address becomes a sink."""

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
"""By the scheme of its address: the form of the address, and what makes the sink of an address and settings."""

*_first, _last = (form for form, _ in SINKS.values())
FORMS = f"{', '.join(_first)} or {_last}"


def parse_sink(address: str, **settings: Any) -> Sink:
    """Return the sink at an address; writes nothing and asks nobody.

    Parameters
    ----------
    address
        One of `FORMS`.
    settings
        Those of a stream (`streaming.settings.StreamSettings`); each kind takes its own and ignores the others.

    Raises
    ------
    RequestError
        If the address has none of the forms, or the settings are not for this kind of sink.
    """
    scheme, separator, _ = address.partition(":")
    if not separator and SINKS.get(address, ("",))[0] == address:
        scheme = address  # a form without a place, such as `console`
    elif not separator or "/" in scheme:
        scheme = ""  # a path, which may hold a colon
    if scheme not in SINKS or (separator and SINKS[scheme][0] == scheme):
        raise RequestError(f"expected the sink as {FORMS}, received {address!r}")
    return SINKS[scheme][1](address, **settings)
