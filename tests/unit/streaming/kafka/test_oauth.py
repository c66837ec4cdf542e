"""Promises of `streaming.kafka.oauth`: tokens that are refreshed in time, and secrets that nobody sees."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import Authority
from kafka import KafkaConsumer
from kafka.errors import KafkaConnectionError, SaslAuthenticationFailedError
from refusals import refused
from token_server import CLIENT, SCOPE, SECRET, TokenServer, a_token_server

from streaming.kafka.client_config import ClientConfig
from streaming.kafka.oauth import TokenError, TokenProvider

MODULE = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required"
JAAS_SECRET = SECRET.replace("\\", "\\\\").replace('"', '\\"')


@pytest.fixture
def server() -> Iterator[TokenServer]:
    with a_token_server() as state:
        yield state


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def config(url: str, **more: str) -> ClientConfig:
    return ClientConfig(
        {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "OAUTHBEARER",
            "sasl.oauthbearer.token.endpoint.url": url,
            "sasl.jaas.config": f'{MODULE} clientId="{CLIENT}" clientSecret="{JAAS_SECRET}" scope="{SCOPE}";',
        }
        | more
    )


def provider(given: ClientConfig, clock: Clock | None = None) -> TokenProvider:
    assert given.client_credentials is not None
    return TokenProvider(given.client_credentials, clock or Clock())


def test_a_token_is_asked_for_as_the_standard_says(server: TokenServer) -> None:
    assert provider(config(server.url)).token().count(".") == 2
    assert server.asked == [{"grant_type": "client_credentials", "scope": SCOPE}]


def test_a_token_is_used_again_and_replaced_before_it_expires(server: TokenServer) -> None:
    clock = Clock()
    tokens = provider(config(server.url), clock)
    first = tokens.token()
    clock.now += 0.79 * server.lifetime
    assert tokens.token() == first
    assert len(server.asked) == 1
    clock.now += 0.02 * server.lifetime
    tokens.token()
    assert len(server.asked) == 2


def test_all_clients_of_a_configuration_share_the_token(server: TokenServer) -> None:
    given = config(server.url)
    options = given.python_options(KafkaConsumer.DEFAULT_CONFIG)
    assert options["sasl_mechanism"] == "OAUTHBEARER"
    assert options["sasl_oauth_token_provider"] is given.python_options({})["sasl_oauth_token_provider"]


def test_a_token_is_used_to_its_end_if_the_endpoint_does_not_answer(server: TokenServer) -> None:
    clock = Clock()
    tokens = provider(config(server.url), clock)
    first = tokens.token()
    server.status = 503
    clock.now += 0.9 * server.lifetime
    assert tokens.token() == first
    clock.now += 0.2 * server.lifetime
    with pytest.raises(KafkaConnectionError, match="fails"):
        tokens.token()


def test_a_refused_secret_ends_at_once_and_does_not_storm_the_endpoint(server: TokenServer) -> None:
    clock, server.secret = Clock(), "another"
    tokens = provider(config(server.url), clock)
    for _ in range(100):
        with pytest.raises(SaslAuthenticationFailedError):
            tokens.token()
        clock.now += 0.05
    assert len(server.asked) == 1
    clock.now += 10
    with pytest.raises(TokenError):
        tokens.ensure()
    assert len(server.asked) == 2


def test_an_endpoint_that_fails_slowly_is_not_asked_again_at_once(server: TokenServer) -> None:
    clock, server.status = Clock(), 503

    def wait() -> None:
        clock.now += 11

    server.on_request = wait
    tokens = provider(config(server.url), clock)
    for _ in range(3):
        with pytest.raises(TokenError):
            tokens.ensure()
    assert len(server.asked) == 1


def test_what_is_refused_is_one_line_without_the_secret(server: TokenServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server.secret = "another"
    given = config(server.url + "?key=hush")
    with pytest.raises(TokenError) as caught:
        provider(given).ensure()
    message = str(caught.value)
    assert message.startswith(
        f"the token endpoint {server.url} refuses the client credentials of --kafka-config (401, invalid_client: not"
    )
    assert "\n" not in message
    for shown in (message, repr(caught.value), caplog.text, repr(given), repr(given.client_credentials)):
        assert SECRET not in shown
        assert JAAS_SECRET not in shown
        assert base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode() not in shown
        assert "hush" not in shown
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b'"x"', b"{}", b'{"access_token": 7}', b'{"access_token": ""}', b"[" * 100_000,
     b'{"access_token": "a\\u0001auth=b"}', b'{"access_token": "a", "expires_in": "soon"}',
     b'{"access_token": "a", "expires_in": -1}', b'{"access_token": "a", "expires_in": NaN}', b"\xff" * 10],
)  # fmt: skip
def test_an_answer_that_is_no_token_is_one_line(server: TokenServer, body: bytes) -> None:
    server.body = body
    with pytest.raises(TokenError, match=r"^the token endpoint \S+ answers with something other than a token$"):
        provider(config(server.url)).ensure()


@pytest.mark.parametrize("status", [404, 429, 500, 503])
def test_an_endpoint_that_fails_can_be_asked_again(server: TokenServer, status: int) -> None:
    server.status = status
    with pytest.raises(TokenError, match=rf"^the token endpoint {server.url} fails \({status}\)$") as caught:
        provider(config(server.url)).ensure()
    assert not caught.value.is_refused


def test_an_endpoint_that_is_away_is_named() -> None:
    with pytest.raises(TokenError, match=r"^the token endpoint http://127.0.0.1:1/t does not answer: .*refused"):
        provider(config("http://127.0.0.1:1/t")).ensure()


def test_the_secret_follows_no_redirection(server: TokenServer) -> None:
    with pytest.raises(TokenError, match=r"fails \(307\)$"):
        provider(config(server.url.replace("/token", "/moved"))).ensure()
    assert server.asked == []


def test_the_endpoint_is_trusted_by_the_store_of_the_login(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path / "..", "stranger")
    with a_token_server(authority.key_pem("endpoint")) as server:
        trust = f'ssl.truststore.type="PEM" ssl.truststore.location="{authority.pem}"'
        jaas = f'{MODULE} clientId="{CLIENT}" clientSecret="{JAAS_SECRET}" {{}};'
        assert provider(config(server.url, **{"sasl.jaas.config": jaas.format(trust)})).ensure()
        for wrong in ("", trust.replace(str(authority.pem), str(stranger.pem))):
            with pytest.raises(TokenError, match=r"does not answer: .*certificate verify failed"):
                provider(config(server.url, **{"sasl.jaas.config": jaas.format(wrong)})).ensure()
        assert len(server.asked) == 1


# --- the properties file -------------------------------------------------------------------------------------------


def test_kafkas_own_client_gets_the_login_in_the_way_that_all_of_its_versions_read(tmp_path: Path) -> None:
    path = tmp_path / "client.properties"
    path.write_text(
        "security.protocol=SASL_SSL\nsasl.mechanism=OAUTHBEARER\nsasl.oauthbearer.token.endpoint.url=https://h/t\n"
        "sasl.oauthbearer.client.credentials.client.id=me\n"
        'sasl.oauthbearer.client.credentials.client.secret=a"b\n'
        "sasl.oauthbearer.scope=images\n"
    )
    options = ClientConfig.read(path).spark_options()
    assert options["kafka.sasl.jaas.config"] == (f'{MODULE} clientId="me" clientSecret="a\\"b" scope="images";')
    assert options["kafka.sasl.login.callback.handler.class"].endswith(".OAuthBearerLoginCallbackHandler")
    assert [name for name in options if "client.credentials" in name] == []  # an older client would log them
    assert options["kafka.sasl.oauthbearer.token.endpoint.url"] == "https://h/t"


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({"sasl.oauthbearer.token.endpoint.url": ""}, "expected sasl.oauthbearer.token.endpoint.url as https://HOST"),
        ({"sasl.oauthbearer.token.endpoint.url": "file:/etc/token"}, "received 'file:/etc/token'"),
        ({"sasl.jaas.config": f"{MODULE};"}, "OAUTHBEARER needs clientId in sasl.jaas.config, or sasl.oauthbearer."),
        ({"sasl.jaas.config": f'{MODULE} clientId="a";'}, "OAUTHBEARER needs clientSecret"),
        ({"sasl.jaas.config": f'{MODULE} clientId="a\x01" clientSecret="b";'}, "clientId has a character that cannot"),
        ({"sasl.login.callback.handler.class": "a.Other"}, "remove sasl.login.callback.handler.class=a.Other"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, properties: dict[str, str], words: str) -> None:
    path = tmp_path / "client.properties"
    given = dict(config("http://h/t").properties) | properties
    path.write_text("".join(f"{name}={value}\n" for name, value in given.items()))
    with refused("--kafka-config", words):
        ClientConfig.read(path)
