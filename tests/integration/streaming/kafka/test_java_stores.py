"""Promises of `streaming.kafka.client_config` about the stores that Java's own tool makes."""

from __future__ import annotations

from pathlib import Path

import pytest
from certificates import Authority, trusted_names

from streaming.kafka.client_config import ClientConfig


@pytest.mark.parametrize("kind", ["PKCS12", "JKS"])
def test_certificates_are_trusted_out_of_javas_stores(tmp_path: Path, kind: str) -> None:
    authority = Authority(tmp_path)
    store = authority.trust_store(kind, "change it")
    text = f"security.protocol=SSL\nssl.truststore.location={store}\nssl.truststore.password=change it\n"
    path = tmp_path / "client.properties"
    path.write_text(text)
    assert trusted_names(ClientConfig.read(path).ssl_context) == {authority.name}
