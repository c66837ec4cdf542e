"""Private API of kafka-python that this package uses; a test names whatever an upgrade has removed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kafka.net.sasl import get_sasl_mechanism


def sasl_mechanism(name: str, options: Mapping[str, Any]) -> Any:
    """Return a new SASL exchange, with `is_done()`, `auth_bytes()` and `receive(bytes)`.

    Parameters
    ----------
    name
        The SASL mechanism, such as SCRAM-SHA-256.
    options
        The client's settings whose names begin with `sasl_`.
    """
    return get_sasl_mechanism(name)(**options)
