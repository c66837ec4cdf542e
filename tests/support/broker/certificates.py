"""Keys and certificates for the tests of TLS, made on the spot: an authority, and what it signs."""

from __future__ import annotations

import ipaddress
import os
import shutil
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID
from needs import need

from sparkdl.spark.java import ensure_java

_DAY = timedelta(days=1)


class Authority:
    """Signs certificates for 127.0.0.1; `directory` is where its files are put."""

    def __init__(self, directory: Path, name: str = "test authority") -> None:
        self.directory, self.name = directory, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        subject = _named(name)
        self._certificate = (
            _certificate(subject, subject, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = directory / "authority.pem"
        self.pem.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def _sign(self, name: str, host: str | None = None) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        key = ec.generate_private_key(ec.SECP256R1())
        local = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        places = x509.SubjectAlternativeName([x509.DNSName(host)] if host else local)
        builder = _certificate(_named(name), self._certificate.subject, key.public_key())
        return key, builder.add_extension(places, critical=False).sign(self._key, hashes.SHA256())

    def pkcs12(self, name: str, password: str, host: str | None = None) -> Path:
        """A store with a new key, its certificate and the authority's; `host`: instead of this machine."""
        key, certificate = self._sign(name, host)
        path = self.directory / f"{name}.p12"
        encryption = serialization.BestAvailableEncryption(password.encode())
        path.write_bytes(
            pkcs12.serialize_key_and_certificates(name.encode(), key, certificate, [self._certificate], encryption)
        )
        return path

    def trust_store(self, kind: str, password: str) -> Path:
        """A store of Java's, of the `kind` PKCS12 or JKS, with the authority's certificate."""
        keytool = Path(ensure_java()).resolve().parent / "keytool"
        need(keytool.is_file(), "this Java has no keytool to make a store with")
        store = self.directory / f"trust-{kind}"
        if not store.exists():
            command: list[str | Path] = [
                *(keytool, "-importcert", "-noprompt", "-alias", "authority", "-file", self.pem),
                *("-keystore", store, "-storetype", kind, "-storepass", password),
            ]
            subprocess.run(command, check=True, capture_output=True)
        return store

    def key_pem(self, name: str, password: str | None = None) -> Path:
        """A PEM file with a new key and its certificate chain; with a password, encrypted as Java can read it."""
        key, certificate = self._sign(name)
        path = self.directory / f"{name}.pem"
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        if password:
            need(shutil.which("openssl"), "no openssl to encrypt a key with")
            command = ["openssl", "pkcs8", "-topk8", "-v1", "PBE-SHA1-3DES", "-passout", "env:KEY_PASSWORD"]
            environment = {**os.environ, "KEY_PASSWORD": password}
            pem = subprocess.run(command, input=pem, env=environment, check=True, capture_output=True).stdout
        chain = (each.public_bytes(serialization.Encoding.PEM) for each in (certificate, self._certificate))
        path.write_bytes(pem + b"".join(chain))
        return path


def trusted_names(context: ssl.SSLContext | None) -> set[str]:
    """The common names of the authorities that `context` trusts."""
    assert context is not None
    subjects: list[Any] = [entry["subject"] for entry in context.get_ca_certs()]
    return {value for subject in subjects for ((_, value),) in subject}


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
    )
