"""A tracking server of MLflow: checked without loading MLflow, then opened; its errors as ours."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.system.extras import require_extra

if TYPE_CHECKING:
    from mlflow import MlflowClient

TRACKING_URI = "MLFLOW_TRACKING_URI"
_FORMS = "http://HOST:PORT, https://HOST, sqlite:///FILE, another database of SQLAlchemy, or file:///DIRECTORY"
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_PORTS = {"http": 80, "https": 443}
_CONNECT_SECONDS = 5.0
_MAX_REASON = 300  # characters
_ABSENT = frozenset({"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "INVALID_PARAMETER_VALUE"})
"""The codes of MLflow's errors that a repetition does not change."""
_DEFAULTS: Mapping[str, str] = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # no report of use leaves this machine unasked
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # by default 7, for minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_UV_AUTO_DETECT": "false",  # a project in the working directory is no part of a model
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
"""MLflow's own settings, for those that are not set."""
_LOGGERS = ("mlflow", "alembic", "urllib3.connectionpool")
"""Loggers that report each step and each retry; a failure is an error anyway."""


class AbsentError(SparkdlError):
    """The server answered that it does not have what was asked for."""


class UnreachableError(SparkdlError):
    """The server, or the store of its artifacts, did not answer; a later try may succeed."""


def tracking_uri(given: str | None) -> str:
    """Return the URI that was given, or that of the environment.

    Raises
    ------
    RequestError
        If there is neither.
    """
    uri = given or os.environ.get(TRACKING_URI)
    if not uri:
        raise RequestError(f"a model in MLflow needs its tracking server: give --mlflow URI or set {TRACKING_URI}")
    return uri


class TrackingServer:
    """A tracking server and its registry of models; nothing is opened before it is used.

    Parameters
    ----------
    uri
        Its address as MLflow has it: an HTTP server, a database or a directory.
    creates
        Whether a database that is not there may be created.

    Raises
    ------
    RequestError
        If the extra `mlflow` is not installed, the URI has no known form, or it names a directory or a database that
        does not exist.
    """

    def __init__(self, uri: str, *, creates: bool = False) -> None:
        require_extra("mlflow", "MLflow")
        self.uri = uri
        self._address = _check(uri, creates=creates)

    def __str__(self) -> str:
        """Return the URI without its password."""
        login, at, _ = self._address.netloc.rpartition("@")
        return self.uri.replace(f"{login}{at}", f"{login.partition(':')[0]}{at}", 1) if at else self.uri

    def check_reachable(self) -> None:
        """Ask the server for something.

        Raises
        ------
        UnreachableError
            If it does not answer.
        """
        if self._address.scheme in _PORTS:
            place = self._address.hostname or "", self._address.port or _PORTS[self._address.scheme]
            try:
                socket.create_connection(place, _CONNECT_SECONDS).close()
            except OSError as error:
                raise UnreachableError(f"no MLflow server answers at {self}: {error.strerror or error}") from error
        with self.answers():
            self.client.search_experiments(max_results=1)

    @cached_property
    def client(self) -> MlflowClient:
        """The client of MLflow; to be used inside of `answers`. From here on MLflow logs errors only."""
        for name, value in _DEFAULTS.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.ERROR)
        return MlflowClient(tracking_uri=self.uri, registry_uri=os.environ.get("MLFLOW_REGISTRY_URI") or self.uri)

    @contextmanager
    def answers(self) -> Iterator[None]:
        """Turn the errors of MLflow, and of the stores behind it, into ours."""
        try:
            yield
        except SparkdlError:
            raise
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0].replace(self.uri, str(self))[
                :_MAX_REASON
            ]
            code = str(getattr(error, "error_code", ""))
            if code in _ABSENT:
                raise AbsentError(f"MLflow at {self}: {reason}") from error
            raise UnreachableError(f"MLflow at {self} does not answer: {reason}") from error


def _check(uri: str, *, creates: bool) -> SplitResult:
    """Return the parts of a URI; raise a RequestError if it can be no tracking server."""
    wrong = RequestError(f"{uri!r} is no MLflow server: expected {_FORMS}")
    try:
        address = urlsplit(uri)
        _ = address.port
    except ValueError as error:
        raise wrong from error
    scheme = address.scheme.partition("+")[0]
    if address.scheme in _PORTS:
        if not address.hostname:
            raise wrong
        if "@" in address.netloc:
            raise RequestError(
                f"{address.scheme}://...@{address.hostname}: give the login of MLflow as MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD"
            )
    elif scheme == "sqlite":
        file = Path(unquote(address.path[1:]))
        if not address.path[1:] or address.netloc:
            raise wrong
        if not file.parent.is_dir():
            raise RequestError(f"{uri}: no such directory: {file.parent}")
        if not creates and not file.is_file():
            raise RequestError(f"{uri}: no such database: {file}")
    elif scheme in _DATABASES:
        if not address.hostname:
            raise wrong
    elif address.scheme == "file" or not address.scheme:
        if not uri or not Path(unquote(address.path)).is_dir():
            raise wrong
    else:
        raise wrong
    return address


def tags_of(entity: Any) -> dict[str, str]:
    """Return the tags of something of MLflow."""
    return {str(key): str(value) for key, value in dict(entity.tags or {}).items()}
