"""Compression of Kafka messages in the Python clients: which package each codec needs."""

from __future__ import annotations

from importlib.util import find_spec
from types import MappingProxyType

from sparkdl.errors import RequestError, SparkdlError

PACKAGES = MappingProxyType(
    {
        "none": None,
        "gzip": None,
        "snappy": ("snappy", "python-snappy"),
        "lz4": ("lz4", "lz4"),
        "zstd": ("zstandard", "zstandard"),
    }
)
"""The values of `compression.type`, each with the module that kafka-python imports for it and its package."""
_INSTALL = "which is not installed: pip install 'sparkdl-streaming[kafka]'"


def check_codec(name: str) -> None:
    """Check that messages can be compressed with a codec.

    Raises
    ------
    RequestError
        If its package is not installed.
    """
    needed = PACKAGES.get(name)
    if needed is not None and find_spec(needed[0]) is None:
        raise RequestError(f"compression.type={name} in --kafka-config needs {needed[1]}, {_INSTALL}")


def unsupported_codec(topic: str, error: Exception) -> SparkdlError:
    """Return the error of a reader for messages of a codec that kafka-python cannot read."""
    for name, needed in PACKAGES.items():
        if needed is not None and f" {name} " in str(error):
            return SparkdlError(
                f"the messages of {topic} are compressed with {name}, which needs {needed[1]}, {_INSTALL}"
            )
    return SparkdlError(f"the messages of {topic} are compressed in a way that cannot be read: {error}")
