"""The table of sink kinds, and the sink at an address."""

from __future__ import annotations

from typing import Any

from sparkdl.errors import RequestError
from streaming.kinds import Kind
from streaming.sinks.base import Sink
from streaming.sinks.console import ConsoleSink
from streaming.sinks.delta import DeltaSink
from streaming.sinks.kafka import KafkaSink
from streaming.sinks.parquet import ParquetSink

SINKS: dict[str, Kind[Sink]] = {
    "parquet": Kind("parquet:DIR", ParquetSink.from_address),
    "delta": Kind("delta:DIR", DeltaSink.from_address),
    "": Kind("a directory", ParquetSink.from_address),
    "kafka": Kind("kafka://HOST:PORT/TOPIC", KafkaSink.from_address),
    "console": Kind("console", ConsoleSink.from_address),
}
"""The kinds of sinks, by the scheme of their addresses."""

*_first, _last = (kind.form for kind in SINKS.values())
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
    kind = SINKS.get(scheme)
    is_whole = kind is not None and kind.form == scheme  # a form without a location, such as `console`
    if "/" in scheme or (not separator and not is_whole):
        kind = SINKS[""]  # a path, which may contain a colon
    if kind is None or (separator and is_whole):
        raise RequestError(f"expected the sink as {FORMS}, received {address!r}")
    return kind.at(address, settings)
