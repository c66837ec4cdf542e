"""The forms of a sink's address."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from sparkdl.errors import RequestError
from streaming.kafka.address import is_kafka

FORMS = "parquet:DIR, delta:DIR, a directory, kafka://HOST:PORT/TOPIC or console"


class SinkKind(StrEnum):
    """What an address can name."""

    PARQUET = "parquet"
    DELTA = "delta"
    KAFKA = "kafka"
    CONSOLE = "console"


def kind_of(address: str) -> SinkKind:
    """What kind of sink an address names; a bare directory is one of Parquet.

    Raises
    ------
    RequestError
        If it has none of the forms.
    """
    scheme, separator, _ = address.partition(":")
    if is_kafka(address):
        return SinkKind.KAFKA
    if address == SinkKind.CONSOLE:
        return SinkKind.CONSOLE
    if not separator or "/" in scheme:
        return SinkKind.PARQUET
    if scheme in (SinkKind.PARQUET, SinkKind.DELTA):
        return SinkKind(scheme)
    raise RequestError(f"expected the sink as {FORMS}, received {address!r}")


def directory_of(address: str) -> str:
    """The directory of `parquet:DIR`, `delta:DIR` or a bare directory.

    Raises
    ------
    RequestError
        If there is none, or it is a file.
    """
    directory = address.removeprefix(f"{kind_of(address)}:")
    if not directory or Path(directory).is_file():
        raise RequestError(f"expected the sink as a directory, received {address!r}")
    return directory


def absolute(directory: str) -> str:
    """The directory's whole path; an address of another file system is left as it is."""
    return directory.rstrip("/") if "://" in directory else str(Path(directory).resolve())
