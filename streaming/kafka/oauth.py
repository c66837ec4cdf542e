"""SASL OAUTHBEARER by client credentials (RFC 6749, section 4.4): settings, and tokens for the Python clients."""

from __future__ import annotations

import base64
import http.client
import json
import re
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import quote_plus, urlencode, urlsplit

from kafka.errors import KafkaConnectionError, SaslAuthenticationFailedError
from kafka.net.sasl.oauth import AbstractTokenProvider

from sparkdl.errors import SparkdlError
from sparkdl.system.terminal import printable

ENDPOINT = "sasl.oauthbearer.token.endpoint.url"
_ID, _SECRET, _SCOPE = (
    "sasl.oauthbearer.client.credentials.client.id",
    "sasl.oauthbearer.client.credentials.client.secret",
    "sasl.oauthbearer.scope",
)
"""Property names since Kafka 4.1. Older clients, such as Spark's, read `_OPTIONS` of `sasl.jaas.config`."""
_OPTIONS = {_ID: "clientId", _SECRET: "clientSecret", _SCOPE: "scope"}
_HANDLER = "sasl.login.callback.handler.class"
_PACKAGE = "org.apache.kafka.common.security.oauthbearer"
_TIMEOUTS = ("sasl.login.connect.timeout.ms", "sasl.login.read.timeout.ms")

_TIMEOUT = 10.0  # seconds for an answer of the token endpoint
_REFRESH = 0.8  # the part of a token's lifetime after which it is replaced, as in Kafka's own client
_UNKNOWN_LIFETIME = 60.0  # seconds that a token of no stated lifetime is used
_PAUSE = 10.0  # seconds after a failure in which the endpoint is not asked again
_MOST_BYTES = 1 << 20  # of an answer
_MOST_SAID = 200  # characters of an endpoint's error description
_REFUSED = (400, 401, 403)
_TOKEN = re.compile(r"[!-~]+")


class TokenError(SparkdlError):
    """No token is available. `is_refused` is true if the endpoint refuses the credentials."""

    def __init__(self, message: str, *, is_refused: bool = False) -> None:
        super().__init__(message)
        self.is_refused = is_refused


@dataclass(frozen=True)
class ClientCredentials:
    """The endpoint and the credentials that a client uses to get tokens.

    Attributes
    ----------
    endpoint
        The URL of the token endpoint.
    options
        The options of `sasl.jaas.config` for Kafka's own client: `clientId`, `clientSecret`, perhaps `scope`, others.
    is_encoded
        Whether id and secret are URL-encoded before they are sent (`sasl.oauthbearer.header.urlencode`).
    context
        For `https` endpoints; None for those of `http`.
    """

    endpoint: str = field(repr=False)  # its query may be secret
    options: Mapping[str, str] = field(repr=False)
    is_encoded: bool = False
    context: ssl.SSLContext | None = None

    @classmethod
    def read(
        cls,
        properties: Mapping[str, str],
        login: Mapping[str, str],
        make_context: Callable[[Mapping[str, str]], ssl.SSLContext | None],
    ) -> ClientCredentials:
        """Return the credentials in the properties of a client.

        Parameters
        ----------
        login
            The options in `sasl.jaas.config`.
        make_context
            Returns the context for the `ssl.` options in it.

        Raises
        ------
        ValueError
            If one is missing or cannot be used; the message says which.
        """
        handler = properties.get(_HANDLER)
        if handler is not None and not handler.endswith(".OAuthBearerLoginCallbackHandler"):
            raise ValueError(f"only client credentials are supported with OAUTHBEARER: remove {_HANDLER}={handler}")
        options = dict(login) | {option: properties[name] for name, option in _OPTIONS.items() if name in properties}
        for name, option in ((_ID, "clientId"), (_SECRET, "clientSecret")):
            if not options.get(option):
                raise ValueError(f"OAUTHBEARER needs {option} in sasl.jaas.config, or {name}")
        for option in _OPTIONS.values():
            if not options.get(option, "").isprintable():
                raise ValueError(f"{option} has a character that cannot be sent")
        endpoint = properties.get(ENDPOINT, "")
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"expected {ENDPOINT} as https://HOST/PATH, received {endpoint.partition('?')[0]!r}")
        tls = {name: value for name, value in login.items() if name.startswith("ssl.")}
        context = make_context(tls) if parts.scheme == "https" else None
        is_encoded = properties.get("sasl.oauthbearer.header.urlencode", "false").lower() == "true"
        return cls(endpoint, options, is_encoded, context)

    def java_properties(self, properties: Mapping[str, str]) -> dict[str, str]:
        """Return the properties of a client as every version of Kafka's own client reads them."""
        options = " ".join(f'{name}="{_escaped(value)}"' for name, value in self.options.items())
        return {
            _HANDLER: f"{_PACKAGE}.OAuthBearerLoginCallbackHandler",
            **dict.fromkeys(_TIMEOUTS, str(round(_TIMEOUT * 1000))),
            **{name: value for name, value in properties.items() if name not in _OPTIONS},
            "sasl.jaas.config": f"{_PACKAGE}.OAuthBearerLoginModule required {options};",
        }

    def fetch(self) -> tuple[str, float]:
        """Return a new token and its lifetime in seconds.

        Raises
        ------
        TokenError
            If the endpoint does not answer, refuses the credentials, or answers with something else.
        """
        form = {"grant_type": "client_credentials", **({"scope": s} if (s := self.options.get("scope")) else {})}
        headers = {"Authorization": f"Basic {self._basic()}", "Accept": "application/json"}
        request = urllib.request.Request(self.endpoint, urlencode(form).encode(), headers)  # noqa: S310 - checked above
        try:
            with self._opener().open(request, timeout=_TIMEOUT) as answer:
                content = answer.read(_MOST_BYTES)
        except urllib.error.HTTPError as error:
            with error:
                said = self._said(error)
            is_refused = error.code in _REFUSED
            what = "refuses the client credentials of --kafka-config" if is_refused else "fails"
            raise TokenError(
                f"the token endpoint {self._place} {what} ({error.code}{said})", is_refused=is_refused
            ) from None  # the cause holds the request
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise TokenError(f"the token endpoint {self._place} does not answer: {_line(str(reason))}") from None
        try:
            found = json.loads(content)
            token, lifetime = found["access_token"], float(found.get("expires_in", _UNKNOWN_LIFETIME))
            if not _TOKEN.fullmatch(token) or not lifetime > 0:
                raise ValueError
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            raise TokenError(f"the token endpoint {self._place} answers with something other than a token") from None
        return token, lifetime

    @property
    def _place(self) -> str:
        """The endpoint's URL without the parts that may be secret."""
        parts = urlsplit(self.endpoint)
        host = parts.netloc.rpartition("@")[2]
        return f"{parts.scheme}://{host}{parts.path}"

    def _basic(self) -> str:
        pair = [self.options["clientId"], self.options["clientSecret"]]
        return base64.b64encode(":".join(map(quote_plus, pair) if self.is_encoded else pair).encode()).decode()

    def _said(self, error: urllib.error.HTTPError) -> str:
        """Return the endpoint's description of an error (RFC 6749, section 5.2)."""
        try:
            found = json.loads(error.read(_MOST_BYTES))
            said = ": ".join(str(found[name]) for name in ("error", "error_description") if name in found)
        except (OSError, http.client.HTTPException, ValueError, TypeError, RecursionError):
            return ""
        for secret in (self.options["clientSecret"], self._basic()):
            said = said.replace(secret, "[hidden]")
        return f", {_line(said)}" if said else ""

    def _opener(self) -> urllib.request.OpenerDirector:
        handlers: list[Any] = [_NoRedirect]
        if self.context is not None:
            handlers.append(urllib.request.HTTPSHandler(context=self.context))
        return urllib.request.build_opener(*handlers)


class TokenProvider(AbstractTokenProvider):  # type: ignore[misc]  # kafka-python has no types
    """The tokens of all Python clients of one configuration.

    A token is used for most of its lifetime, and longer if the endpoint does not answer. After a failure the endpoint
    is not asked again for some seconds, however often clients try to connect.

    Parameters
    ----------
    clock
        Returns seconds.
    """

    def __init__(self, credentials: ClientCredentials, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._credentials, self._clock = credentials, clock
        self._lock = threading.Lock()
        self._token, self._refresh_at, self._expires_at = "", 0.0, 0.0
        self._error: TokenError | None = None
        self._retry_at = 0.0

    def ensure(self) -> str:
        """Return a valid token.

        Raises
        ------
        TokenError
            If none is available.
        """
        with self._lock:
            if self._token and self._clock() < self._refresh_at:
                return self._token
            if self._error is None or self._clock() >= self._retry_at:
                self._fetch()
            if self._error is None or (self._clock() < self._expires_at and not self._error.is_refused):
                return self._token
            raise self._error

    def token(self) -> str:
        """Return a valid token, for kafka-python."""
        try:
            return self.ensure()
        except TokenError as error:
            _raise_for_kafka(error)

    def _fetch(self) -> None:
        now = self._clock()
        try:
            self._token, lifetime = self._credentials.fetch()
        except TokenError as error:
            self._error, self._retry_at = error, self._clock() + _PAUSE  # it may have taken longer than the pause
        else:
            self._error, self._refresh_at, self._expires_at = None, now + _REFRESH * lifetime, now + lifetime


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses redirects, which could send the secret to another host."""

    def redirect_request(self, *arguments: Any, **named: Any) -> None:
        return None


def _raise_for_kafka(error: TokenError) -> NoReturn:
    """Raise an error that ends a client of kafka-python if the credentials are refused, else lets it try again."""
    raise (SaslAuthenticationFailedError if error.is_refused else KafkaConnectionError)(str(error)) from None


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _line(text: str) -> str:
    return printable(" ".join(text.split()))[:_MOST_SAID]
