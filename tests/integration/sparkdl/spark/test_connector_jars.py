"""Promises of the jars of Spark's connectors: a forged, exchanged or cut one never reaches a JVM."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import pyspark
import pytest
from pyspark.sql import SparkSession
from repositories import SilentHandler

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.spark.jars import REPOSITORY_VARIABLE, Jar, read_list, repository, session_jars
from streaming import spark_conf

CONNECTORS = (spark_conf.KAFKA, spark_conf.DELTA)
KAFKA, DELTA = (connector.lock for connector in CONNECTORS)
JARS = [jar for lock in (KAFKA, DELTA) for jar in read_list(lock)]


@pytest.fixture(scope="module")
def genuine(kafka_spark: SparkSession) -> Path:
    """The directory of the cache that has the jars."""
    return session_jars([KAFKA, DELTA])[0].parent


@pytest.fixture
def mirror(genuine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The files of a repository that an HTTP server gives out, for a process whose cache is empty."""
    root = tmp_path / "mirror"
    for jar in JARS:
        (root / jar.path).parent.mkdir(parents=True)
        shutil.copy(genuine / jar.name, root / jar.path)
    monkeypatch.setenv("SPARKDL_CACHE_DIR", str(tmp_path / "a cache"))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SilentHandler, directory=str(root))) as server:
        threading.Thread(target=server.serve_forever).start()
        monkeypatch.setenv(REPOSITORY_VARIABLE, f"http://127.0.0.1:{server.server_port}")
        yield root
        server.shutdown()


def stream(tmp_path: Path, sink: str) -> subprocess.CompletedProcess[str]:
    """What a stream does up to its session, in a separate process, and one use of the connector."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from sparkdl.errors import SparkdlError\n"
        "from console.session import start_spark\n"
        "from streaming.sinks.factory import parse_sink\n"
        "from streaming.spark_conf import stream_conf\n"
        f"sink = {sink!r}\n"
        "connectors = [parse_sink(sink).connector]\n"
        "try:\n"
        "    spark = start_spark((), connectors, stream_conf(connectors))\n"
        "except SparkdlError as error:\n"
        "    sys.exit(f'sparkdl: {error}')\n"
        "if sink.startswith('delta:'):\n"
        "    if not Path(sys.argv[1]).exists():\n"
        "        spark.range(3).write.format('delta').save(sys.argv[1])\n"
        "    print(spark.read.format('delta').load(sys.argv[1]).count())\n"
        "else:\n"
        "    reader = spark.readStream.format('kafka').option('kafka.bootstrap.servers', 'a:1')\n"
        "    print(reader.option('subscribe', 'b').load().columns[:2])\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", code, str(tmp_path / "table")]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)


def _append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"one byte more")


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _exchange(path: Path) -> None:
    shutil.copy(Path(pyspark.__path__[0], "jars", "commons-cli-1.11.0.jar"), path)


def test_the_repository_is_maven_central_unless_another_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REPOSITORY_VARIABLE, raising=False)
    assert re.fullmatch(r"https://[\w.]*maven[\w.]*/maven2", repository())
    monkeypatch.setenv(REPOSITORY_VARIABLE, "file:/mirror/")
    assert repository() == "file:/mirror"


def test_each_connector_lists_its_own_jar_and_none_that_spark_has() -> None:
    own = {path.name for path in Path(pyspark.__path__[0], "jars").iterdir()}
    for connector in CONNECTORS:
        jars = read_list(connector.lock)
        assert connector.package in {f"{jar.group}:{jar.artifact}:{jar.version}" for jar in jars}
        assert {len(jar.sha256) for jar in jars} == {64}
        assert own.isdisjoint({jar.name for jar in jars})


def test_a_jar_among_sparks_own_is_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, genuine: Path) -> None:
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))
    (tmp_path / "jars").mkdir()
    names = [jar.name for jar in read_list(KAFKA)]
    (tmp_path / "jars" / names[0]).touch()
    assert [path.name for path in session_jars([KAFKA])] == names[1:]
    for name in names:
        (tmp_path / "jars" / name).touch()
    assert session_jars([KAFKA]) == []


@pytest.mark.slow
def test_a_session_takes_its_jars_from_a_mirror_once_and_says_so(mirror: Path, tmp_path: Path) -> None:
    first = stream(tmp_path, "delta:out")
    assert (first.stdout, first.returncode) == ("3\n", 0), first.stderr
    fetching, starting = first.stderr.splitlines()
    assert (fetching[:9], starting[:14]) == ("fetching ", "starting Spark")
    shutil.rmtree(mirror)
    again = stream(tmp_path, "delta:out")
    assert (again.stdout, again.stderr, again.returncode) == ("3\n", f"{starting}\n", 0)


@pytest.mark.parametrize("attack", [_append, _cut, _exchange])
@pytest.mark.parametrize("jar", [read_list(KAFKA)[-2], read_list(DELTA)[3], read_list(DELTA)[-1]], ids=str)
def test_a_mirror_that_holds_a_forged_jar_is_refused(jar: Jar, attack: Callable[[Path], None], mirror: Path) -> None:
    attack(mirror / jar.path)
    with pytest.raises(SparkdlError, match=rf"^{re.escape(jar.name)} from http://.* is refused: its SHA-256 is "):
        session_jars([KAFKA, DELTA])
    assert not list(Path(os.environ["SPARKDL_CACHE_DIR"]).rglob(jar.name))


@pytest.mark.parametrize("attack", [_append, _cut, _exchange])
def test_a_jar_in_the_cache_is_checked_at_each_use(attack: Callable[[Path], None], mirror: Path) -> None:
    paths = session_jars([KAFKA])
    attack(paths[1])
    with pytest.raises(SparkdlError, match=rf"^{re.escape(str(paths[1]))} is refused: .* delete it, and it is fetched"):
        session_jars([KAFKA])
    paths[1].unlink()
    assert session_jars([KAFKA]) == paths


@pytest.mark.parametrize("sink", ["delta:out", "kafka://h:1/t"])
def test_no_jvm_is_started_on_a_forged_jar(sink: str, mirror: Path, tmp_path: Path) -> None:
    forged = read_list(DELTA if sink == "delta:out" else KAFKA)[0]
    _append(mirror / forged.path)
    done = stream(tmp_path, sink)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"sparkdl: {forged.name} from http://127.0.0.1:")
    assert "Traceback" not in done.stderr


def test_a_cache_whose_path_spark_would_take_for_another_is_refused(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARKDL_CACHE_DIR", str(tmp_path / "a,b"))
    with pytest.raises(
        RequestError, match=r"^Spark cannot take jars from .*/a,b/jars: set SPARKDL_CACHE_DIR to a path"
    ):
        session_jars([KAFKA])


def test_without_a_way_to_the_repository_it_is_said_which_jars_go_where(mirror: Path) -> None:
    shutil.rmtree(mirror / "io")
    with pytest.raises(SparkdlError) as error:
        session_jars([DELTA])
    place = Path(os.environ["SPARKDL_CACHE_DIR"]) / "jars"
    assert str(error.value).endswith(f"or put the jars that streaming/delta.lock lists into {place}")
    assert "\n" not in str(error.value)
