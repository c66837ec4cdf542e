"""Promises of `streaming.kafka.client_config`: one properties file serves the connector and kafka-python alike."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from certificates import Authority, trusted_names
from kafka import KafkaConsumer, KafkaProducer
from refusals import refused

from sparkdl.errors import RequestError
from streaming.kafka.client_config import ClientConfig

LOGIN = (
    'org.apache.kafka.common.security.scram.ScramLoginModule required \\\n  username="maya" password="pass word\\\\"";'
)


def config(tmp_path: Path, text: str) -> ClientConfig:
    path = tmp_path / "client.properties"
    path.write_text(text)
    return ClientConfig.read(path)


def test_without_a_file_there_is_plain_text() -> None:
    assert ClientConfig.read(None).spark_options() == {}
    assert ClientConfig.read(None).python_options(KafkaProducer.DEFAULT_CONFIG) == {"security_protocol": "PLAINTEXT"}


def test_a_login_is_read_as_kafka_reads_it(tmp_path: Path) -> None:
    read = config(
        tmp_path,
        f"# for the test\nsecurity.protocol=SASL_PLAINTEXT\nsasl.mechanism: SCRAM-SHA-256\nsasl.jaas.config={LOGIN}\n",
    )
    assert read.python_options({}) == {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_plain_username": "maya",
        "sasl_plain_password": 'pass word"',
    }
    assert read.spark_options() == {
        "kafka.security.protocol": "SASL_PLAINTEXT",
        "kafka.sasl.mechanism": "SCRAM-SHA-256",
        "kafka.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required "
        'username="maya" password="pass word\\"";',
    }


def test_the_options_of_a_login_may_stand_apart(tmp_path: Path) -> None:
    text = (
        "security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nsasl.jaas.config=Module required username = a password=b=c;"
    )
    assert config(tmp_path, text.replace("_SSL", "_PLAINTEXT")).python_options({}) == {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "a",
        "sasl_plain_password": "b=c",
    }


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    read = config(tmp_path, "security.protocol=SSL\nssl.key.password=hush\n")
    assert "hush" not in repr(read)
    login = LOGIN.replace("pass word", "hush")
    read = config(tmp_path, f"security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-256\nsasl.jaas.config={login}")
    assert "hush" not in repr(read.python_options({}))


def test_what_the_stream_decides_is_left_out(tmp_path: Path) -> None:
    read = config(tmp_path, "bootstrap.servers=a:1\ngroup.id=g\nauto.offset.reset=latest\nclient.id=me\n")
    assert read.spark_options() == {"kafka.client.id": "me"}


def test_settings_that_both_have_go_to_both(tmp_path: Path) -> None:
    read = config(tmp_path, "request.timeout.ms=1234\nmax.request.size=99\nno.such.setting=7\n")
    options = read.python_options(KafkaProducer.DEFAULT_CONFIG)
    assert options == {"request_timeout_ms": 1234, "max_request_size": 99, "security_protocol": "PLAINTEXT"}
    assert read.spark_options()["kafka.request.timeout.ms"] == "1234"


@pytest.mark.parametrize(
    ("value", "expected"), [("none", None), ("gzip", "gzip"), ("snappy", "snappy"), ("lz4", "lz4"), ("zstd", "zstd")]
)
def test_the_producer_compresses_as_the_file_says(tmp_path: Path, value: str, expected: str | None) -> None:
    read = config(tmp_path, f"compression.type={value}\nlinger.ms=20\nbatch.size=1000\n")
    options = read.python_options(KafkaProducer.DEFAULT_CONFIG)
    assert (options["compression_type"], options["linger_ms"], options["batch_size"]) == (expected, 20, 1000)
    assert read.spark_options()["kafka.compression.type"] == value
    assert "compression_type" not in read.python_options(KafkaConsumer.DEFAULT_CONFIG)


def test_the_consumer_takes_the_isolation_level(tmp_path: Path) -> None:
    read = config(tmp_path, "isolation.level=read_committed\n")
    assert read.python_options(KafkaConsumer.DEFAULT_CONFIG)["isolation_level"] == "read_committed"
    assert read.spark_options() == {"kafka.isolation.level": "read_committed"}


@pytest.mark.parametrize("value", ["all", "-1"])
def test_the_number_of_acknowledgements_is_for_the_connector(tmp_path: Path, value: str) -> None:
    read = config(tmp_path, f"acks={value}\n")
    assert read.spark_options() == {"kafka.acks": value}
    assert "acks" not in read.python_options(KafkaProducer.DEFAULT_CONFIG)


@pytest.mark.parametrize("value", ["0", "1"])
def test_fewer_acknowledgements_than_a_committed_batch_needs_are_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(RequestError, match=f"expected acks as one of all, -1, received '{value}'"):
        config(tmp_path, f"acks={value}\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("security.protocol=SLS", "received 'SLS'"),
        ("security.protocol=SASL_SSL\nsasl.mechanism=GSSAPI", "received 'GSSAPI'"),
        ("security.protocol=SASL_SSL\nsasl.mechanism=PLAIN", "no username and password"),
        (
            'security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nsasl.jaas.config=a required username="a" password="b',
            "no username and password",
        ),
        ("compression.type=brotli", "compression.type as one of none, gzip, snappy, lz4, zstd, received 'brotli'"),
        ("isolation.level=committed", "isolation.level as one of read_uncommitted, read_committed"),
        ("ssl.truststore.certificates=a", "ssl.truststore.certificates needs ssl.truststore.type=PEM"),
        ("ssl.keystore.key=a", "ssl.keystore.key needs ssl.keystore.type=PEM"),
        ("ssl.truststore.location=nowhere.pem", "no such file in ssl.truststore.location: nowhere.pem"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_starts(tmp_path: Path, text: str, words: str) -> None:
    with refused("--kafka-config", "client.properties", words):
        config(tmp_path, text)


def test_a_missing_file_is_refused() -> None:
    with refused("--kafka-config: nowhere cannot be read"):
        ClientConfig.read(Path("nowhere"))


def test_a_number_that_is_none_is_refused(tmp_path: Path) -> None:
    with refused("expected linger.ms as a number, received 'soon'"):
        config(tmp_path, "linger.ms=soon").python_options(KafkaProducer.DEFAULT_CONFIG)


# --- keys and certificates -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def test_certificates_are_trusted_out_of_a_pem_file(tmp_path: Path, authority: Authority) -> None:
    text = f"security.protocol=SSL\nssl.truststore.type=PEM\nssl.truststore.location={authority.pem}\n"
    assert trusted_names(config(tmp_path, text).ssl_context) == {authority.name}


def test_a_store_of_another_type_is_refused_as_java_would(tmp_path: Path, authority: Authority) -> None:
    text = f"security.protocol=SSL\nssl.truststore.location={authority.pem}\n"
    with refused("is PEM", "set ssl.truststore.type"):
        _ = config(tmp_path, text).ssl_context
    text = f"security.protocol=SSL\nssl.keystore.type=PEM\nssl.keystore.location={authority.pkcs12('store', 'a')}\n"
    with refused("is not PEM", "set ssl.keystore.type"):
        _ = config(tmp_path, text).ssl_context


def test_a_wrong_password_of_a_store_is_refused(tmp_path: Path, authority: Authority) -> None:
    store = authority.pkcs12("client", "right")
    text = f"security.protocol=SSL\nssl.keystore.location={store}\nssl.keystore.password=wrong\n"
    with refused("--kafka-config: the TLS keys or certificates cannot be used"):
        _ = config(tmp_path, text).ssl_context


def test_host_names_are_checked_unless_it_is_switched_off(tmp_path: Path) -> None:
    on = config(tmp_path, "security.protocol=SSL").ssl_context
    off = config(tmp_path, "security.protocol=SSL\nssl.endpoint.identification.algorithm=\n").ssl_context
    assert on is not None
    assert off is not None
    assert (on.check_hostname, off.check_hostname) == (True, False)
    assert off.verify_mode is ssl.CERT_REQUIRED
