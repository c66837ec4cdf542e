"""Promises of `sparkdl.system.cache`: what others could have put into the cache is not used."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest
from needs import need

from sparkdl.errors import RequestError
from sparkdl.networks.builder import build_network
from sparkdl.networks.spec import NetworkSpec
from sparkdl.spark.jars import session_jars
from sparkdl.spark.java import cds_archive_path, cds_options
from sparkdl.system.cache import cache_directory, is_owned, write_cached
from streaming.spark_conf import KAFKA

NOBODY = 65534
NETWORK = NetworkSpec("EfficientNetLite0", (32, 32), ("block2",), "average")


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that another user may look into, as those of pytest are not."""
    directory = Path(mkdtemp(prefix="sparkdl-cache-test-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def cache(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPARKDL_CACHE_DIR", str(shared / "cache"))
    return shared / "cache"


def as_nobody(work: Callable[[], object]) -> bool:
    """Whether another user of this machine could do something."""
    need(os.getuid() == 0, "only root can act as another user")

    def child() -> None:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        os.umask(0)
        try:
            work()
        except OSError:
            os._exit(1)
        os._exit(0)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    return process.exitcode == 0


def test_what_is_made_is_for_this_user_alone(cache: Path) -> None:
    before = os.umask(0)
    try:
        write_cached(cache_directory("networks") / "a.onnx", b"network")
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in (cache, cache / "networks")] == [0o700, 0o700]
    assert not as_nobody(lambda: (cache / "networks" / "b.onnx").write_bytes(b"forged"))


def test_a_cache_that_another_user_has_made_first_is_refused(cache: Path, shared: Path) -> None:
    shared.chmod(0o1777)  # as /tmp
    assert as_nobody(cache.mkdir)
    with pytest.raises(
        RequestError, match=rf"^the cache {cache} is refused: {cache} belongs to another user \(nobody\); set"
    ):
        cache_directory("jars")


def test_a_part_of_the_cache_that_another_user_has_made_is_refused(cache: Path) -> None:
    cache.mkdir()
    cache.chmod(0o1777)
    assert as_nobody((cache / "jars").mkdir)
    with pytest.raises(RequestError, match=r"/cache/jars belongs to another user"):
        session_jars([KAFKA.lock])


def test_a_cache_that_others_can_write_to_is_refused(cache: Path) -> None:
    (cache / "networks").mkdir(parents=True)
    (cache / "networks").chmod(0o777)
    assert as_nobody(lambda: (cache / "networks" / "EfficientNetLite0-forged.onnx").write_bytes(b"forged"))
    with pytest.raises(RequestError, match=r"/cache/networks can be written by everybody; set SPARKDL_CACHE_DIR to"):
        build_network(NETWORK)
    (cache / "networks").chmod(0o775)
    os.chown(cache / "networks", 0, 100)
    with pytest.raises(RequestError, match=r"/cache/networks can be written by the group 100"):
        build_network(NETWORK)


def test_a_directory_on_the_way_that_others_can_exchange_is_refused(cache: Path, shared: Path) -> None:
    cache.mkdir()
    shared.chmod(0o777)
    assert as_nobody(lambda: cache.rename(shared / "away"))
    (shared / "away").rename(cache)
    with pytest.raises(RequestError, match=rf"is refused: {shared} can be written by everybody"):
        cache_directory("jars")


def test_a_link_of_another_user_is_followed_once_and_its_end_is_looked_at(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shared / "theirs").mkdir()
    os.chown(shared / "theirs", NOBODY, NOBODY)
    (shared / "link").symlink_to(shared / "theirs")
    monkeypatch.setenv("SPARKDL_CACHE_DIR", str(shared / "link"))
    with pytest.raises(RequestError, match=r"/theirs belongs to another user"):
        cache_directory("jars")


def test_a_network_that_another_user_has_planted_is_built_anew(cache: Path) -> None:
    content = build_network(NETWORK)
    [place] = (cache / "networks").iterdir()
    place.write_bytes(b"forged")
    os.chown(place, NOBODY, NOBODY)
    assert not is_owned(place)
    assert build_network(NETWORK) == content
    assert is_owned(place)


@pytest.mark.parametrize("attack", ["of another user", "for all to write", "a link", "in a directory for all to write"])
def test_a_class_archive_that_another_user_could_exchange_is_not_given_to_java(
    attack: str, cache: Path, shared: Path, caplog: pytest.LogCaptureFixture
) -> None:
    java = "/a/jdk/bin/java"  # only its path counts
    path = cds_archive_path(java)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"archive")
    assert str(path) in cds_options(java)
    match attack:
        case "of another user":
            os.chown(path, NOBODY, NOBODY)
        case "for all to write":
            path.chmod(0o666)
        case "a link":
            path.rename(shared / "elsewhere")
            path.symlink_to(shared / "elsewhere")
        case "in a directory for all to write":
            path.parent.chmod(0o777)
    assert cds_options(java) == ""
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith("class data sharing is off: ")
