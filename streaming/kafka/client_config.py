"""One properties file, as Kafka's own tools use it, for all Kafka clients: the JVM connector and kafka-python."""

from __future__ import annotations

import os
import re
import ssl
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from sparkdl.errors import RequestError
from sparkdl.system.extras import require_extra
from streaming.kafka.codecs import PACKAGES

if TYPE_CHECKING:
    from streaming.kafka.oauth import ClientCredentials, TokenProvider

_DECIDED = (
    # Set by the address or the stream. A file may hold them for other tools.
    "bootstrap.servers",
    "group.id",
    "auto.offset.reset",
    "enable.auto.commit",
    "interceptor.classes",
    "key.serializer",
    "key.deserializer",
    "value.serializer",
    "value.deserializer",
)
_OAUTH = "OAUTHBEARER"
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", _OAUTH)
_CHOICES = {
    "acks": ("all", "-1"),  # with fewer a committed micro-batch could be lost with its broker
    "compression.type": tuple(PACKAGES),
    "isolation.level": ("read_uncommitted", "read_committed"),
}
_JAVA_ONLY = ("acks",)
"""Properties that `sparkdl produce` decides."""
_INLINE = {"ssl.truststore.certificates": "ssl.truststore.type", "ssl.keystore.key": "ssl.keystore.type"}
_JAAS_OPTION = re.compile(r'([\w.-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))')
_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")


class _Hidden(str):
    """A secret that is hidden when kafka-python logs the settings of a client."""

    def __repr__(self) -> str:
        return "[hidden]"


@dataclass(frozen=True)
class ClientConfig:
    """The properties of Kafka clients.

    Attributes
    ----------
    properties
        Names and values as in Kafka's documentation. They may be secrets and are never shown.
    """

    properties: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, path: Path | None) -> ClientConfig:
        """Return the properties in a file; empty for None.

        Raises
        ------
        RequestError
            If the file cannot be read, a value is unknown or inconsistent, or the extra `kafka` is missing.
        """
        if path is None:
            return cls()
        require_extra("kafka", "--kafka-config")
        import javaproperties

        try:
            with path.open("rb") as file:
                found = javaproperties.load(file)
        except OSError as error:
            raise RequestError(f"--kafka-config: {path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise RequestError(f"--kafka-config: {path} is not a properties file: {error}") from error
        config = cls({name: value.strip() for name, value in found.items() if name not in _DECIDED})
        config._check(path)
        return config

    def _check(self, path: Path) -> None:
        protocol, mechanism = self.protocol, self.properties.get("sasl.mechanism", "GSSAPI")
        if protocol not in _PROTOCOLS:
            raise RequestError(
                f"--kafka-config: {path}: expected security.protocol as one of {', '.join(_PROTOCOLS)}, "
                f"received {protocol!r}"
            )
        if protocol.startswith("SASL"):
            if mechanism not in _MECHANISMS:
                raise RequestError(
                    f"--kafka-config: {path}: expected sasl.mechanism as one of {', '.join(_MECHANISMS)}, "
                    f"received {mechanism!r}"
                )
            if mechanism == _OAUTH:
                try:
                    _ = self.client_credentials
                except ValueError as error:
                    raise RequestError(f"--kafka-config: {path}: {error}") from error
            elif not self._login.keys() >= {"username", "password"}:
                raise RequestError(f"--kafka-config: {path}: sasl.jaas.config has no username and password")
        for name, choices in _CHOICES.items():
            if self.properties.get(name, choices[0]) not in choices:
                raise RequestError(
                    f"--kafka-config: {path}: expected {name} as one of {', '.join(choices)}, "
                    f"received {self.properties[name]!r}"
                )
        for name, kind in _INLINE.items():
            if name in self.properties and self.properties.get(kind) != "PEM":
                raise RequestError(f"--kafka-config: {path}: {name} needs {kind}=PEM")
        for name in ("ssl.truststore.location", "ssl.keystore.location"):
            if name in self.properties and not Path(self.properties[name]).is_file():
                raise RequestError(f"--kafka-config: {path}: no such file in {name}: {self.properties[name]}")

    @property
    def protocol(self) -> str:
        """The `security.protocol`."""
        return self.properties.get("security.protocol", "PLAINTEXT").upper()

    @property
    def has_key(self) -> bool:
        """Whether the client has a TLS key to authenticate with."""
        return self.properties.keys() & {"ssl.keystore.location", "ssl.keystore.key"} != set()

    @property
    def _login(self) -> dict[str, str]:
        """The options in `sasl.jaas.config`: `LoginModule required username="..." password="...";`."""
        found = _JAAS_OPTION.findall(self.properties.get("sasl.jaas.config", ""))
        return {name: bare or re.sub(r"\\(.)", r"\1", quoted) for name, quoted, bare in found}

    @cached_property
    def client_credentials(self) -> ClientCredentials | None:
        """The credentials for the mechanism OAUTHBEARER; None with another.

        Raises
        ------
        ValueError
            If they are incomplete.
        RequestError
            If the trust store of the token endpoint cannot be opened.
        """
        if not self.protocol.startswith("SASL") or self.properties.get("sasl.mechanism") != _OAUTH:
            return None
        from streaming.kafka.oauth import ClientCredentials

        def context(options: Mapping[str, str]) -> ssl.SSLContext | None:
            return ClientConfig({**options, "security.protocol": "SSL"}).ssl_context

        return ClientCredentials.read(self.properties, self._login, context)

    @cached_property
    def token_provider(self) -> TokenProvider | None:
        """The tokens that all Python clients share; None without OAUTHBEARER."""
        from streaming.kafka.oauth import TokenProvider

        return None if self.client_credentials is None else TokenProvider(self.client_credentials)

    def spark_options(self) -> dict[str, str]:
        """Return the options of Spark's Kafka source and sink."""
        credentials = self.client_credentials
        properties = self.properties if credentials is None else credentials.java_properties(self.properties)
        return {f"kafka.{name}": value for name, value in properties.items()}

    def python_options(self, defaults: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a kafka-python client.

        Parameters
        ----------
        defaults
            The client's `DEFAULT_CONFIG`; properties that it does not have are left out.
        """
        options: dict[str, Any] = {}
        for name, value in self.properties.items():
            python = name.replace(".", "_")
            default = defaults.get(python)
            if name == "compression.type" and python in defaults:
                options[python] = None if value == "none" else value
            elif name in _JAVA_ONLY:
                continue
            elif isinstance(default, int | float | str) and not isinstance(default, bool):
                try:
                    options[python] = type(default)(value)
                except ValueError as error:
                    raise RequestError(f"--kafka-config: expected {name} as a number, received {value!r}") from error
        options["security_protocol"] = self.protocol
        if self.protocol.startswith("SASL"):
            options["sasl_mechanism"] = self.properties["sasl.mechanism"]
            if self.token_provider is not None:
                options["sasl_oauth_token_provider"] = self.token_provider
            else:
                options["sasl_plain_username"] = self._login["username"]
                options["sasl_plain_password"] = _Hidden(self._login["password"])
        if self.ssl_context is not None:
            options["ssl_context"] = self.ssl_context
        return options

    @cached_property
    def ssl_context(self) -> ssl.SSLContext | None:
        """The context of TLS connections; None without TLS.

        Raises
        ------
        RequestError
            If a key store or trust store cannot be opened.
        """
        if not self.protocol.endswith("SSL"):
            return None
        given = self.properties
        context = ssl.create_default_context()
        context.check_hostname = given.get("ssl.endpoint.identification.algorithm", "https") != ""
        try:
            trusted = given.get("ssl.truststore.certificates") or self._store("truststore")
            if trusted:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname = given.get("ssl.endpoint.identification.algorithm", "https") != ""
                context.load_verify_locations(cadata=trusted)
            own = (
                f"{given['ssl.keystore.key']}\n{given['ssl.keystore.certificate.chain']}\n"
                if "ssl.keystore.key" in given
                else self._store("keystore")
            )
            if own:
                with TemporaryDirectory() as private:  # OpenSSL takes keys from files only
                    pem = Path(private, "key.pem")
                    pem.write_text(own)
                    context.load_cert_chain(pem, password=given.get("ssl.key.password") or "")
        except (OSError, ValueError, KeyError) as error:
            raise RequestError(f"--kafka-config: the TLS keys or certificates cannot be used: {error}") from error
        return context

    def _store(self, kind: str) -> str | None:
        """Return the certificates and the key of a PEM, PKCS12 or JKS store as PEM; None if no store is set."""
        location = self.properties.get(f"ssl.{kind}.location")
        if location is None:
            return None
        content = Path(location).read_bytes()
        password = self.properties.get(f"ssl.{kind}.password", "")
        is_pem = content.lstrip().startswith(b"-----BEGIN ")  # the connector relies on the type only
        if is_pem != (self.properties.get(f"ssl.{kind}.type", "JKS") == "PEM"):
            raise ValueError(f"{location} is {'PEM' if is_pem else 'not PEM'}: set ssl.{kind}.type accordingly")
        if is_pem:
            return content.decode()
        if content.startswith(b"\xfe\xed\xfe\xed"):
            content = _from_jks(location, password)
        return _pem(content, password, with_key=kind == "keystore")


def _pem(pkcs12_store: bytes, password: str, *, with_key: bool) -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.serialization import pkcs12

    store = pkcs12.load_pkcs12(pkcs12_store, password.encode() if password else None)
    certificates = [entry.certificate for entry in (store.cert, *store.additional_certs) if entry is not None]
    parts = [certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates]
    if with_key and store.key is not None:
        parts.append(
            store.key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
    return b"".join(parts).decode()


def _from_jks(location: str, password: str) -> bytes:
    """Convert a JKS store to PKCS12 with Java's keytool."""
    from sparkdl.spark.java import ensure_java

    keytool = Path(ensure_java()).resolve().parent / "keytool"
    if not keytool.is_file():
        raise ValueError(
            f"{location} is a JKS store, which only keytool can read, and {keytool} is missing: convert the store to "
            "PKCS12 or PEM"
        )
    with TemporaryDirectory() as private:
        target = Path(private, "store.p12")
        done = subprocess.run(
            [
                keytool, "-importkeystore", "-noprompt",
                "-srckeystore", location, "-srcstorepass:env", "STORE_PASSWORD",
                "-destkeystore", target, "-deststoretype", "PKCS12", "-deststorepass:env", "STORE_PASSWORD",
            ],
            env={**os.environ, "STORE_PASSWORD": password},
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise ValueError(f"{location}: {(done.stdout or done.stderr).strip().splitlines()[-1]}")
        return target.read_bytes()
