"""A broker that asks for logins and certificates, and what its clients need to be let in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from certificates import Authority

from streaming.kafka.local.broker import Broker

STORE_PASSWORD, KEY_PASSWORD, PASSWORD = "store-4711", "key-4712", "login-4713"
PLAINTEXT, SASL_PLAINTEXT, SASL_SSL, SSL = "PLAINTEXT", "SASL_PLAINTEXT", "SASL_SSL", "SSL"
MECHANISMS = ("SCRAM-SHA-256", "SCRAM-SHA-512")
LOGIN_MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule required"

Properties = dict[str, str]


@dataclass(frozen=True)
class Keys:
    """An authority and what it has signed; a stranger that the broker does not know and that does not know it."""

    authority: Authority
    stranger: Authority

    def trust(self, authority: Authority | None = None) -> Properties:
        return {
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str((authority or self.authority).pem),
        }

    def trust_in(self, kind: str) -> Properties:
        return {
            "ssl.truststore.type": kind,
            "ssl.truststore.location": str(self.authority.trust_store(kind, STORE_PASSWORD)),
            "ssl.truststore.password": STORE_PASSWORD,
        }

    def key(self, authority: Authority | None = None) -> Properties:
        return {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str((authority or self.authority).key_pem("client")),
        }

    def inline_key(self) -> Properties:
        """The key itself among the properties, with its certificate and the authority's."""
        key, begin, certificates = (
            self.authority.key_pem("inline", KEY_PASSWORD).read_text().partition("-----BEGIN CERTIFICATE-----")
        )
        return {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.key": key,
            "ssl.keystore.certificate.chain": begin + certificates,
            "ssl.key.password": KEY_PASSWORD,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.certificates": self.authority.pem.read_text(),
        }

    def key_in_pkcs12(self) -> Properties:
        return {
            "ssl.keystore.type": "PKCS12",
            "ssl.keystore.location": str(self.authority.pkcs12("client", STORE_PASSWORD)),
            "ssl.keystore.password": STORE_PASSWORD,
        }


def broker_keys(keys: Keys, host: str | None = None) -> Properties:
    store = keys.authority.pkcs12(f"broker-{host}", STORE_PASSWORD, host)
    return {
        "ssl.keystore.type": "PKCS12",
        "ssl.keystore.location": str(store),
        "ssl.keystore.password": STORE_PASSWORD,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(keys.authority.pem),
    }


@contextmanager
def a_secured_broker(keys: Keys, directory: Path) -> Iterator[Broker]:
    """It has a listener of each kind; on the one for TLS without a login, clients need a certificate."""
    logins = {
        f"listener.name.{listener}.{mechanism.lower()}.sasl.jaas.config": f"{LOGIN_MODULE};"
        for listener in ("sasl_plaintext", "sasl_ssl")
        for mechanism in MECHANISMS
    }
    made = Broker(
        directory,
        listeners=(PLAINTEXT, SASL_PLAINTEXT, SASL_SSL, SSL),
        scram={"maya": PASSWORD, "leaver": PASSWORD},
        properties={
            **broker_keys(keys),
            **logins,
            "sasl.enabled.mechanisms": ",".join(MECHANISMS),
            "listener.name.ssl.ssl.client.auth": "required",
        },
    )
    with made.running(port=0):
        yield made


def login(protocol: str, mechanism: str, password: str = PASSWORD, user: str = "maya") -> Properties:
    return {
        "security.protocol": protocol,
        "sasl.mechanism": mechanism,
        "sasl.jaas.config": f'{LOGIN_MODULE} username="{user}" password="{password}";',
    }


def written(directory: Path, properties: Mapping[str, str]) -> Path:
    """A properties file."""
    path = directory / "client.properties"
    path.write_text("".join(f"{name}={value.replace(chr(10), chr(92) + 'n')}\n" for name, value in properties.items()))
    return path


def new_name() -> str:
    return f"test-{uuid4().hex[:12]}"
