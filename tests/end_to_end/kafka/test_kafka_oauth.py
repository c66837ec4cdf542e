"""Promises of SASL OAUTHBEARER: a token endpoint, a broker that checks its signatures, and all of our clients."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession
from secured import SASL_PLAINTEXT, SASL_SSL, Keys, Properties, broker_keys, new_name, written
from streams import Place, digits, wait_until
from token_server import AUDIENCE, CLIENT, ISSUER, SECRET, TokenServer, a_token_server

from console.main import run
from producer.replay import sequence
from producer.topic import replay_to_topic
from sparkdl.errors import SparkdlError
from sparkdl.models.registry import Registry
from streaming.failures import with_causes
from streaming.kafka.address import KafkaAddress
from streaming.kafka.admin import AdminSession
from streaming.kafka.client_config import ClientConfig
from streaming.kafka.errors import describe_error
from streaming.kafka.local.broker import Broker
from streaming.readers.kafka import KafkaReader
from training.data.loading import Dataset

PACKAGE = "org.apache.kafka.common.security.oauthbearer"
AT_ONCE = 15  # seconds
SESSION = 4_000  # milliseconds after which a client has to log in again


@pytest.fixture(scope="module")
def endpoint() -> Iterator[TokenServer]:
    with a_token_server() as state:
        yield state


@pytest.fixture(scope="module")
def secure_endpoint(endpoint: TokenServer, keys: Keys) -> Iterator[TokenServer]:
    """The same issuer, over TLS."""
    with a_token_server(keys.authority.key_pem("endpoint")) as state:
        state._key = endpoint._key
        yield state


@pytest.fixture(autouse=True)
def usual_endpoint(endpoint: TokenServer, secure_endpoint: TokenServer) -> None:
    for state in (endpoint, secure_endpoint):
        state.secret, state.status, state.lifetime = SECRET, 200, 300
        state.asked.clear()


@pytest.fixture(scope="module")
def broker(endpoint: TokenServer, keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker that accepts every client with a token signed by the issuer."""
    jwks = endpoint.url.replace("/token", "/jwks")
    listeners = {
        f"listener.name.{listener}.oauthbearer.{name}": value
        for listener in ("sasl_plaintext", "sasl_ssl")
        for name, value in {
            "sasl.jaas.config": f"{PACKAGE}.OAuthBearerLoginModule required;",
            "sasl.server.callback.handler.class": f"{PACKAGE}.OAuthBearerValidatorCallbackHandler",
            "connections.max.reauth.ms": str(SESSION),
        }.items()
    }
    made = Broker(
        tmp_path_factory.mktemp("oauth") / "broker",
        listeners=("PLAINTEXT", SASL_PLAINTEXT, SASL_SSL),
        properties={
            **broker_keys(keys),
            **listeners,
            "sasl.enabled.mechanisms": "OAUTHBEARER",
            "sasl.oauthbearer.jwks.endpoint.url": jwks,
            "sasl.oauthbearer.expected.audience": AUDIENCE,
            "sasl.oauthbearer.expected.issuer": ISSUER,
        },
    )
    with pytest.MonkeyPatch.context() as patch:
        allowed = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={jwks}"
        patch.setenv("JDK_JAVA_OPTIONS", f"{os.environ.get('JDK_JAVA_OPTIONS', '')} {allowed}".strip())
        made.start(port=0)
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def place(tmp_path: Path, registry: Registry) -> Place:
    return Place(tmp_path, registry)


def login(url: str, protocol: str = SASL_PLAINTEXT, secret: str = SECRET, jaas: str = "") -> Properties:
    """As an older client reads it, or, without options in `sasl.jaas.config`, as one of Kafka 4.1 does."""
    escaped = secret.replace("\\", "\\\\").replace('"', '\\"')
    options = f'clientId="{CLIENT}" clientSecret="{escaped}" scope="images" {jaas}'
    return {
        "security.protocol": protocol,
        "sasl.mechanism": "OAUTHBEARER",
        "sasl.oauthbearer.token.endpoint.url": url,
        "sasl.jaas.config": f"{PACKAGE}.OAuthBearerLoginModule required {options};",
    }


def modern_login(url: str) -> Properties:
    return {
        "security.protocol": SASL_PLAINTEXT,
        "sasl.mechanism": "OAUTHBEARER",
        "sasl.oauthbearer.token.endpoint.url": url,
        "sasl.oauthbearer.client.credentials.client.id": CLIENT,
        "sasl.oauthbearer.client.credentials.client.secret": SECRET,
        "sasl.oauthbearer.scope": "images",
    }


def file_of(directory: Path, properties: Properties) -> Path:
    return written(directory, {name: value.replace("\\", "\\\\") for name, value in properties.items()})


WAYS: dict[str, tuple[str, Callable[[TokenServer, TokenServer, Keys], Properties]]] = {
    "options of the login": (SASL_PLAINTEXT, lambda plain, secure, keys: login(plain.url)),
    "properties of Kafka 4.1": (SASL_PLAINTEXT, lambda plain, secure, keys: modern_login(plain.url)),
    "TLS to the endpoint and the broker": (
        SASL_SSL,
        lambda plain, secure, keys: (
            login(
                secure.url,
                SASL_SSL,
                jaas=f'ssl.truststore.type="PEM" ssl.truststore.location="{keys.authority.pem}"',
            )
            | keys.trust()
        ),
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_one_file_serves_the_producer_the_stream_and_the_reader(
    way: str,
    kafka_spark: SparkSession,
    broker: Broker,
    endpoint: TokenServer,
    secure_endpoint: TokenServer,
    keys: Keys,
    place: Place,
    drawn: Dataset,
) -> None:
    listener, properties = WAYS[way]
    file = file_of(place.root, properties(endpoint, secure_endpoint, keys))
    source, sink = (KafkaAddress(broker.addresses()[listener], new_name()) for _ in range(2))
    images = sequence(Dataset("", tuple(digits(drawn, 3))))

    config = ClientConfig.read(file)
    assert replay_to_topic(images, source, config).acknowledged == 3
    asked = [*endpoint.asked, *secure_endpoint.asked]
    assert len(asked) == 1  # for the admin session and the producer
    place.job(kafka_spark, source=str(source), sink=str(sink), kafka_config=file, available_now=True).wait()
    rows = KafkaReader(sink, config).rows()
    assert sorted(row["id"] for row in rows) == [f"{source.topic}/0/{n}" for n in range(3)]


@pytest.mark.parametrize("who", ["producer", "stream", "sink", "reader"])
def test_a_wrong_secret_ends_each_of_them_at_once_with_one_request(
    who: str, kafka_spark: SparkSession, broker: Broker, endpoint: TokenServer, place: Place, drawn: Dataset
) -> None:
    address = KafkaAddress(broker.addresses()[SASL_PLAINTEXT], new_name())
    file = file_of(place.root, login(endpoint.url, secret="wrong"))
    config, images = ClientConfig.read(file), sequence(Dataset("", tuple(digits(drawn, 1))))
    place.watched.mkdir()
    begin: dict[str, Callable[[], object]] = {
        "producer": lambda: replay_to_topic(images, address, config),
        "stream": lambda: place.job(kafka_spark, source=str(address), kafka_config=file),
        "sink": lambda: place.job(kafka_spark, sink=str(address), kafka_config=file),
        "reader": lambda: KafkaReader(address, config),
    }
    started = time.monotonic()
    with pytest.raises(
        SparkdlError,
        match=rf"^the token endpoint {endpoint.url} refuses the client credentials of --kafka-config \(401, ",
    ):
        begin[who]()
    assert time.monotonic() - started < AT_ONCE
    assert len(endpoint.asked) == 1


def test_the_command_says_it_in_one_line(
    broker: Broker, endpoint: TokenServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = file_of(tmp_path, login(endpoint.url, secret="hush-4715"))
    sink = f"kafka://{broker.addresses()[SASL_PLAINTEXT]}/t"
    assert run(["predictions", sink, "--kafka-config", str(file)]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert "hush-4715" not in told.err
    assert told.err.startswith(f"sparkdl: the token endpoint {endpoint.url} refuses the client credentials")


def test_a_token_that_the_broker_does_not_trust_is_refused_at_once(
    broker: Broker, endpoint: TokenServer, tmp_path: Path
) -> None:
    server = broker.addresses()[SASL_PLAINTEXT]
    with a_token_server() as stranger:  # signs with another key
        config = ClientConfig.read(file_of(tmp_path, login(stranger.url)))
        started = time.monotonic()
        with pytest.raises(SparkdlError, match=f"^Kafka at {server} refuses the credentials of --kafka-config: ") as it:
            AdminSession(KafkaAddress(server, "any"), config)
        assert time.monotonic() - started < AT_ONCE
        assert "\n" not in str(it.value)


@pytest.mark.slow
def test_sessions_and_tokens_that_expire_are_renewed_while_images_are_sent(
    broker: Broker, endpoint: TokenServer, tmp_path: Path, drawn: Dataset
) -> None:
    endpoint.lifetime = SESSION / 1000
    address = KafkaAddress(broker.addresses()[SASL_PLAINTEXT], new_name())
    config = ClientConfig.read(file_of(tmp_path, login(endpoint.url)))

    delivery = replay_to_topic(sequence(Dataset("", tuple(digits(drawn, 13)))), address, config, rate=1)
    assert (delivery.acknowledged, delivery.lost, delivery.why) == (13, (), None)
    assert len(endpoint.asked) >= 3


@pytest.mark.slow
def test_a_stream_outlives_its_tokens_and_names_a_secret_that_was_revoked(
    kafka_spark: SparkSession, broker: Broker, endpoint: TokenServer, place: Place, drawn: Dataset
) -> None:
    endpoint.lifetime = 20
    source = KafkaAddress(broker.addresses()[SASL_PLAINTEXT], new_name())
    config = ClientConfig.read(file := file_of(place.root, login(endpoint.url)))
    replay_to_topic(sequence(Dataset("", tuple(digits(drawn, 1)))), source, config)
    job = place.job(kafka_spark, source=str(source), kafka_config=file, retries=1)
    wait_until(lambda: place.images >= 1 or not job.is_active)
    asked = len(endpoint.asked)
    wait_until(lambda: len(endpoint.asked) >= asked + 2 or not job.is_active)  # at the rate of Kafka's own client
    replay_to_topic(sequence(Dataset("", tuple(digits(drawn, 1)))), source, config)
    wait_until(lambda: place.images >= 2 or not job.is_active)
    endpoint.secret = "revoked"
    with pytest.raises(SparkdlError, match="--kafka-config"):
        job.wait()


@pytest.mark.parametrize(
    ("secret", "status", "fatal", "words"),
    [
        ("hush-4716", 200, True, "the token endpoint for {} refuses the client credentials of --kafka-config: correct"),
        pytest.param(SECRET, 503, False, "the token endpoint for {} does not answer", marks=pytest.mark.slow),
    ],
    ids=["refused", "away"],
)
def test_what_the_connector_says_of_the_endpoint_is_understood(
    kafka_spark: SparkSession,
    broker: Broker,
    endpoint: TokenServer,
    tmp_path: Path,
    secret: str,
    status: int,
    fatal: bool,
    words: str,
) -> None:
    endpoint.status = status
    address = KafkaAddress(broker.addresses()[SASL_PLAINTEXT], new_name())
    options = ClientConfig.read(
        file_of(tmp_path, login(endpoint.url, secret=secret, jaas='note="another login"'))
    ).spark_options()
    reader = kafka_spark.read.format("kafka").options(**options).option("subscribe", address.topic)
    with pytest.raises(Py4JJavaError) as caught:
        reader.option("kafka.bootstrap.servers", address.servers).load().count()
    said = with_causes(caught.value)
    known = describe_error(said, str(address))
    assert known is not None
    assert known.fatal == fatal
    assert known.reason.startswith(words.format(address))
    assert "hush-4716" not in said
