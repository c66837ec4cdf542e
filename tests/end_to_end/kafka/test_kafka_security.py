"""Promises of logins and TLS, on a real broker that asks for them: one file serves the producer, connector and reader.

What is refused is refused at once, in one line that says what to set.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession
from secured import (
    KEY_PASSWORD,
    PLAINTEXT,
    SASL_PLAINTEXT,
    SASL_SSL,
    SSL,
    Keys,
    Properties,
    broker_keys,
    login,
    new_name,
    written,
)
from streams import Place, digits, wait_until

from console.main import run
from producer.replay import sequence
from producer.topic import replay_to_topic
from sparkdl.errors import SparkdlError
from sparkdl.models.registry import Registry
from streaming.kafka.address import KafkaAddress
from streaming.kafka.admin import AdminSession
from streaming.kafka.client_config import ClientConfig
from streaming.kafka.local.broker import Broker
from streaming.kafka.local.programs import kafka_tool
from streaming.readers.kafka import KafkaReader
from training.data.loading import Dataset

AT_ONCE = 15  # seconds


@pytest.fixture
def place(tmp_path: Path, registry: Registry) -> Place:
    return Place(tmp_path, registry)


# --- what is let in ------------------------------------------------------------------------------------------------

WAYS: dict[str, tuple[str, Callable[[Keys], Properties]]] = {
    "a login": (SASL_PLAINTEXT, lambda keys: login(SASL_PLAINTEXT, "SCRAM-SHA-256")),
    "a login over TLS": (SASL_SSL, lambda keys: login(SASL_SSL, "SCRAM-SHA-512") | keys.trust()),
    "a key in PEM": (SSL, lambda keys: {"security.protocol": SSL} | keys.key() | keys.trust()),
    "a key in the file": (SSL, lambda keys: {"security.protocol": SSL} | keys.inline_key()),
    "PKCS12": (SSL, lambda keys: {"security.protocol": SSL} | keys.key_in_pkcs12() | keys.trust_in("PKCS12")),
    "JKS": (SASL_SSL, lambda keys: login(SASL_SSL, "SCRAM-SHA-256") | keys.trust_in("JKS")),
}


@pytest.mark.parametrize("way", WAYS)
def test_one_file_serves_the_producer_the_stream_and_the_reader(
    way: str, kafka_spark: SparkSession, secured_broker: Broker, keys: Keys, place: Place, drawn: Dataset
) -> None:
    listener, properties = WAYS[way]
    file = written(place.root, properties(keys))
    source, sink = (KafkaAddress(secured_broker.addresses()[listener], new_name()) for _ in range(2))
    images = sequence(Dataset("", tuple(digits(drawn, 3))))

    assert replay_to_topic(images, source, ClientConfig.read(file)).acknowledged == 3
    place.job(kafka_spark, source=str(source), sink=str(sink), kafka_config=file, available_now=True).wait()
    rows = KafkaReader(sink, ClientConfig.read(file)).rows()
    assert sorted(row["id"] for row in rows) == [f"{source.topic}/0/{n}" for n in range(3)]


# --- what is refused -----------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[str, Callable[[Keys], Properties], str]] = {
    "a wrong password": (
        SASL_PLAINTEXT,
        lambda keys: login(SASL_PLAINTEXT, "SCRAM-SHA-256", "wrong"),
        "refuses the credentials of --kafka-config: Authentication failed",
    ),
    "a wrong password over TLS": (
        SASL_SSL,
        lambda keys: login(SASL_SSL, "SCRAM-SHA-512", "wrong") | keys.trust(),
        "refuses the credentials of --kafka-config: Authentication failed",
    ),
    "an unknown user": (
        SASL_PLAINTEXT,
        lambda keys: login(SASL_PLAINTEXT, "SCRAM-SHA-256", user="nobody"),
        "refuses the credentials of --kafka-config: Authentication failed",
    ),
    "a mechanism that the broker does not have": (
        SASL_PLAINTEXT,
        lambda keys: login(SASL_PLAINTEXT, "PLAIN"),
        "takes no login by PLAIN: set sasl.mechanism in --kafka-config to SCRAM-SHA-",
    ),
    "no login where one is needed": (
        SASL_PLAINTEXT,
        lambda keys: {},
        "asks for a login: give --kafka-config FILE with security.protocol=SASL_PLAINTEXT, sasl.mechanism=SCRAM-SHA-",
    ),
    "TLS without the login that is needed": (
        SASL_SSL,
        lambda keys: {"security.protocol": SSL} | keys.trust(),
        "asks for a login: give --kafka-config FILE with security.protocol=SASL_SSL, sasl.mechanism=SCRAM-SHA-",
    ),
    "a login where there is none": (
        PLAINTEXT,
        lambda keys: login(SASL_PLAINTEXT, "SCRAM-SHA-256"),
        "takes no login: set security.protocol=PLAINTEXT in --kafka-config",
    ),
    "plain text to a port of TLS": (
        SSL,
        lambda keys: {},
        "was reached but does not answer as PLAINTEXT (the answer is not Kafka's); if it expects TLS or a "
        "login, give --kafka-config FILE",
    ),
    "a login in plain text to a port of TLS": (
        SASL_SSL,
        lambda keys: login(SASL_PLAINTEXT, "SCRAM-SHA-256"),
        "if it expects TLS, set security.protocol=SASL_SSL in --kafka-config",
    ),
    "TLS to a port of plain text": (
        PLAINTEXT,
        lambda keys: {"security.protocol": SSL} | keys.trust(),
        "was reached but does not speak TLS, which security.protocol=SSL in --kafka-config asks for",
    ),
    "a broker of another authority": (
        SASL_SSL,
        lambda keys: login(SASL_SSL, "SCRAM-SHA-256") | keys.trust(keys.stranger),
        "is not trusted (self-signed certificate in certificate chain): name its authority by ssl.truststore.location "
        "in --kafka-config",
    ),
    "a broker that no authority of this machine knows": (
        SASL_SSL,
        lambda keys: login(SASL_SSL, "SCRAM-SHA-256"),
        "is not trusted (self-signed certificate in certificate chain): name its authority by ssl.truststore.location "
        "in --kafka-config",
    ),
    "no certificate where one is needed": (
        SSL,
        lambda keys: {"security.protocol": SSL} | keys.trust(),
        "if it asks for a certificate, name one by ssl.keystore.location in --kafka-config",
    ),
    "a certificate of another authority": (
        SSL,
        lambda keys: {"security.protocol": SSL} | keys.trust() | keys.key(keys.stranger),
        "it may not trust the certificate of ssl.keystore.location in --kafka-config",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_the_broker_is_refused_at_once(
    case: str, secured_broker: Broker, keys: Keys, tmp_path: Path
) -> None:
    listener, properties, words = REFUSED[case]
    server = secured_broker.addresses()[listener]
    started = time.monotonic()
    with pytest.raises(SparkdlError) as caught:
        AdminSession(KafkaAddress(server, "any"), ClientConfig.read(written(tmp_path, properties(keys)))).partitions()
    assert time.monotonic() - started < AT_ONCE
    assert f"Kafka at {server} " in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("who", ["producer", "stream", "sink", "reader"])
def test_wrong_credentials_end_each_of_them(
    who: str, kafka_spark: SparkSession, secured_broker: Broker, place: Place, drawn: Dataset
) -> None:
    server = secured_broker.addresses()[SASL_PLAINTEXT]
    address = KafkaAddress(server, new_name())
    file = written(place.root, login(SASL_PLAINTEXT, "SCRAM-SHA-256", "wrong"))
    config, images = ClientConfig.read(file), sequence(Dataset("", tuple(digits(drawn, 1))))
    place.watched.mkdir()
    begin: dict[str, Callable[[], object]] = {
        "producer": lambda: replay_to_topic(images, address, config),
        "stream": lambda: place.job(kafka_spark, source=str(address), kafka_config=file),
        "sink": lambda: place.job(kafka_spark, sink=str(address), kafka_config=file),
        "reader": lambda: KafkaReader(address, config),
    }
    started = time.monotonic()
    with pytest.raises(SparkdlError, match=f"^Kafka at {server} refuses the credentials of --kafka-config: "):
        begin[who]()
    assert time.monotonic() - started < AT_ONCE


def test_what_is_no_kafka_is_named_at_once(tmp_path: Path) -> None:
    web = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(tmp_path), "0"]
    with subprocess.Popen(web, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            address = f"127.0.0.1:{server.stdout.readline().split(' port ')[1].split()[0]}"
            with pytest.raises(SparkdlError, match=f"Kafka at {address} was reached but does not answer as PLAINTEXT"):
                AdminSession(KafkaAddress(address, "any"), ClientConfig()).partitions()
        finally:
            server.terminate()


@pytest.mark.slow
def test_a_password_that_is_changed_ends_a_running_stream(
    kafka_spark: SparkSession, secured_broker: Broker, place: Place, drawn: Dataset
) -> None:
    source = KafkaAddress(secured_broker.addresses()[SASL_PLAINTEXT], new_name())
    file = written(place.root, login(SASL_PLAINTEXT, "SCRAM-SHA-256", user="leaver"))
    replay_to_topic(sequence(Dataset("", tuple(digits(drawn, 3)))), source, ClientConfig.read(file))
    job = place.job(kafka_spark, source=str(source), kafka_config=file)
    wait_until(lambda: place.images >= 3 or not job.is_active)
    change = kafka_tool(
        "kafka.admin.ConfigCommand",
        *("--bootstrap-server", secured_broker.addresses()[PLAINTEXT], "--alter", "--entity-type", "users"),
        *("--entity-name", "leaver", "--add-config", "SCRAM-SHA-256=[password=another]"),
    )
    subprocess.run(change, check=True, capture_output=True, timeout=60)
    secured_broker.stop()  # so that the stream has to log in again
    secured_broker.start()
    with pytest.raises(SparkdlError, match=f"the brokers of {source} refuse the credentials of --kafka-config"):
        job.wait()
    assert len(place.ids()) == 3


def test_an_encryption_that_java_cannot_read_is_named(
    kafka_spark: SparkSession, secured_broker: Broker, keys: Keys, place: Place
) -> None:
    source = KafkaAddress(secured_broker.addresses()[SSL], new_name())
    mine = keys.key()
    key = load_pem_private_key(Path(mine["ssl.keystore.location"]).read_bytes(), None)
    encryption = BestAvailableEncryption(KEY_PASSWORD.encode())
    chain = Path(mine["ssl.keystore.location"]).read_text().partition("-----BEGIN CERTIFICATE-----")
    modern = place.root / "modern.pem"
    modern.write_text(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode() + "".join(chain[1:]))
    properties = mine | {"ssl.keystore.location": str(modern), "ssl.key.password": KEY_PASSWORD}
    file = written(place.root, {"security.protocol": SSL} | keys.trust() | properties)
    with AdminSession(source, ClientConfig.read(file)) as session:
        session.ensure_topic(source.topic, {})
    job = place.job(kafka_spark, source=str(source), kafka_config=file)
    with pytest.raises(SparkdlError, match=r"Java cannot read the encrypted key of --kafka-config: .*PBE-SHA1-3DES"):
        job.wait()


# --- whose certificate it is ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def impostor(keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a broker whose certificate is another host's."""
    made = Broker(
        tmp_path_factory.mktemp("impostor") / "broker",
        listeners=(PLAINTEXT, SSL),
        properties=broker_keys(keys, "elsewhere.example"),
    )
    with made.running(port=0):
        yield made.addresses()[SSL]


def connector_reads(spark: SparkSession, address: KafkaAddress, config: ClientConfig) -> int:
    """The messages that Spark's own connector finds."""
    reader = spark.read.format("kafka").options(**config.spark_options())
    return reader.option("kafka.bootstrap.servers", address.servers).option("subscribe", address.topic).load().count()


def test_a_certificate_of_another_host_is_refused_unless_names_do_not_count(
    kafka_spark: SparkSession, impostor: str, keys: Keys, tmp_path: Path, drawn: Dataset
) -> None:
    address = KafkaAddress(impostor, new_name())
    strict = {"security.protocol": SSL} | keys.trust()
    careless = ClientConfig.read(written(tmp_path, strict | {"ssl.endpoint.identification.algorithm": ""}))
    images = sequence(Dataset("", tuple(digits(drawn, 2))))
    assert replay_to_topic(images, address, careless).acknowledged == 2
    assert connector_reads(kafka_spark, address, careless) == 2

    config = ClientConfig.read(written(tmp_path, strict))
    with pytest.raises(
        SparkdlError,
        match=rf"^the certificate of Kafka at {impostor} is for another host \(.*\): .*"
        "ssl.endpoint.identification.algorithm",
    ):
        AdminSession(address, config)
    with pytest.raises(Py4JJavaError, match="No subject alternative names matching IP address"):
        connector_reads(kafka_spark, address, config)


@pytest.mark.parametrize("command", ["stream", "produce", "predictions"])
def test_the_help_of_each_command_shows_the_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == 0
    assert "--kafka-config" in capsys.readouterr().out
