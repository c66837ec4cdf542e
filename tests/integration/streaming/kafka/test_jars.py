"""Promises of `sparkdl.spark.jars`: jars are fetched once, and none is used that is not the one on the list."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from paths import ROOT
from repositories import SilentHandler

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.spark.jars import REPOSITORY_VARIABLE, read_list
from sparkdl.system.hashing import sha256
from streaming.kafka.local.jars import KAFKA, LOCK, broker_jars, jars_directory


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Maven repository on disk that holds Kafka's jars."""
    root = tmp_path_factory.mktemp("repository")
    for jar, file in zip(read_list(LOCK), broker_jars(), strict=True):
        place = root / jar.path
        place.parent.mkdir(parents=True)
        place.symlink_to(file)
    return root


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the jars, while there are none in it."""
    monkeypatch.setenv("SPARKDL_CACHE_DIR", str(tmp_path / "cache"))
    return jars_directory()


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A repository at a port that nobody listens on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        monkeypatch.setenv(REPOSITORY_VARIABLE, f"http://127.0.0.1:{bound.getsockname()[1]}")
        yield


def test_the_list_names_each_jar_once_with_a_digest_and_no_address() -> None:
    jars = read_list(LOCK)
    assert len({jar.name for jar in jars}) == len(jars)
    assert {len(jar.sha256) for jar in jars} == {64}
    assert f"kafka_2.13-{KAFKA}.jar" in {jar.name for jar in jars}
    assert "http" not in (ROOT / "streaming" / "kafka" / "local" / "kafka.lock").read_text()


def test_all_jars_are_fetched_once_and_then_without_any_request(
    repository: Path, empty: Path, nobody: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    total = len(read_list(LOCK))
    handler = partial(SilentHandler, directory=str(repository))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        with monkeypatch.context() as patch:
            patch.setenv(REPOSITORY_VARIABLE, f"http://127.0.0.1:{server.server_port}/")
            fetched = broker_jars(lambda done, of: seen.append((done, of)))
        server.shutdown()

    assert seen == [(done, total) for done in range(total + 1)]
    assert [sha256(path) for path in fetched] == [jar.sha256 for jar in read_list(LOCK)]
    assert {path.name for path in empty.iterdir()} == {jar.name for jar in read_list(LOCK)}
    assert broker_jars(lambda done, of: seen.append((done, of))) == fetched  # from the repository that is not there
    assert len(seen) == total + 1


def test_a_jar_that_differs_from_the_list_is_refused_by_name_and_not_kept(
    repository: Path, empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jar = read_list(LOCK)[5]
    tampered = tmp_path / "tampered"
    shutil.copytree(repository, tampered)
    with (tampered / jar.path).open("ab") as file:
        file.write(b"one byte more")
    monkeypatch.setenv(REPOSITORY_VARIABLE, tampered.as_uri())
    with pytest.raises(SparkdlError, match=rf"^{jar.name} from file://.* is refused: its SHA-256 is .*{jar.sha256}"):
        broker_jars()
    assert not (empty / jar.name).exists()

    monkeypatch.setenv(REPOSITORY_VARIABLE, repository.as_uri())
    broker_jars()
    (empty / jar.name).write_bytes(b"put there by somebody")
    with pytest.raises(SparkdlError, match=rf"{jar.name} is refused: .* delete it, and it is fetched again$"):
        broker_jars()
    (empty / jar.name).unlink()
    assert sha256(broker_jars()[5]) == jar.sha256


def test_without_a_network_it_is_said_what_to_do(empty: Path, nobody: None) -> None:
    with pytest.raises(SparkdlError) as error:
        broker_jars()
    words = str(error.value)
    assert "Connection refused" in words
    assert f"set {REPOSITORY_VARIABLE} to a Maven repository that can be reached, or put the jars" in words
    assert words.endswith(f"into {empty}")
    assert "\n" not in words


def test_an_address_that_is_none_is_refused(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REPOSITORY_VARIABLE, "ftp://mirror")
    with pytest.raises(RequestError, match=r"expected an https, http or file address, received 'ftp://mirror'$"):
        broker_jars()
