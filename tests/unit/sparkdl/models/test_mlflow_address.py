"""Addresses in MLflow, and what can be refused of a tracking server before MLflow is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.models.addresses import find_model
from sparkdl.models.mlflow.address import MlflowAddress, check_alias, check_name
from sparkdl.models.mlflow.tracking import TRACKING_URI, TrackingServer, UnreachableError, tracking_uri


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("mlflow:digits@champion", ("digits", "champion", None)),
        ("mlflow:digits/3", ("digits", None, "3")),
        ("mlflow:main.vision.Bengali digits-2@a_b-c", ("main.vision.Bengali digits-2", "a_b-c", None)),
    ],
)
def test_an_address_names_an_alias_or_a_version(address: str, parts: tuple[str, str | None, str | None]) -> None:
    parsed = MlflowAddress.parse(address)
    assert (parsed.name, parsed.alias, parsed.number) == parts
    assert str(parsed) == address


@pytest.mark.parametrize(
    "address",
    [
        "mlflow:",
        "mlflow:digits",
        "mlflow:@champion",
        "mlflow:digits@",
        "mlflow:digits/x",
        "mlflow:a/b@c",
        "mlflow:../x/1",
    ],
)
def test_another_form_is_refused_with_the_right_ones(address: str) -> None:
    with pytest.raises(RequestError, match=r"expected mlflow:NAME@ALIAS or mlflow:NAME/VERSION"):
        find_model(address, "http://nowhere:1")


@pytest.mark.parametrize("address", ["digits", "mlflow:", "mlflow:a@b", "mlflow:a/b"])
def test_a_name_to_register_is_one_name(address: str) -> None:
    with pytest.raises(RequestError, match="expected mlflow:NAME"):
        check_name(address)


@pytest.mark.parametrize("alias", ["", "v3", "3", "latest", "a b", "a/b"])
def test_an_alias_that_mlflow_refuses_is_refused(alias: str) -> None:
    with pytest.raises(RequestError, match="--alias"):
        check_alias(alias)


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("localhost:5000", "is no MLflow server: expected http://HOST:PORT"),
        ("http://", "is no MLflow server"),
        ("http://host:port", "is no MLflow server"),
        ("ftp://host", "is no MLflow server"),
        ("sqlite:", "is no MLflow server"),
        ("nowhere", "is no MLflow server"),
        ("sqlite:////nowhere/mlflow.db", "no such directory: /nowhere"),
        ("sqlite:///nowhere.db", "no such database: nowhere.db"),
        ("https://me:secret@host", "MLFLOW_TRACKING_USERNAME"),
    ],
)
def test_a_uri_that_can_be_no_server_is_refused(uri: str, words: str) -> None:
    with pytest.raises(RequestError) as raised:
        TrackingServer(uri)
    assert words in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_password_of_a_database_is_not_shown() -> None:
    assert str(TrackingServer("postgresql://me:secret@host/mlflow")) == "postgresql://me@host/mlflow"


def test_a_server_that_is_away_is_found_out_without_mlflow() -> None:
    with pytest.raises(UnreachableError, match=r"no MLflow server answers at http://127\.0\.0\.1:9: ") as raised:
        TrackingServer("http://127.0.0.1:9").check_reachable()
    assert isinstance(raised.value, SparkdlError)
    assert not isinstance(raised.value, RequestError)


def test_the_server_is_the_one_given_or_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRACKING_URI, "http://of-the-environment:5000")
    assert tracking_uri(None) == "http://of-the-environment:5000"
    assert tracking_uri("http://given:5000") == "http://given:5000"
    monkeypatch.delenv(TRACKING_URI)
    with pytest.raises(RequestError, match="give --mlflow URI or set MLFLOW_TRACKING_URI"):
        tracking_uri(None)


def test_a_directory_is_a_server_only_if_it_is_there(tmp_path: Path) -> None:
    TrackingServer(tmp_path.as_uri())
    TrackingServer(str(tmp_path))
    with pytest.raises(RequestError, match="is no MLflow server"):
        TrackingServer((tmp_path / "nowhere").as_uri())
