"""What `streaming.kafka.private` uses of kafka-python is there; after an upgrade this names what is gone."""

from __future__ import annotations

import pytest

from streaming.kafka.private import sasl_mechanism


@pytest.mark.parametrize("name", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_login_is_an_exchange_of_bytes(name: str) -> None:
    options = {"sasl_mechanism": name, "sasl_plain_username": "me", "sasl_plain_password": "secret"}
    exchange = sasl_mechanism(name, options)
    missing = [part for part in ("is_done", "auth_bytes", "receive") if not callable(getattr(exchange, part, None))]
    assert missing == []
    assert not exchange.is_done()
    assert b"me" in exchange.auth_bytes()
