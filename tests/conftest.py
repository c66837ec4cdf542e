"""What the tests share: one Spark session for the whole run, one trained model, and where real data lies."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from brokers import a_broker
from certificates import Authority
from needs import need
from once import make_once, run_directory
from paths import TESTS
from pyspark.sql import SparkSession
from secured import Keys, a_secured_broker

from sparkdl.errors import SparkdlError
from sparkdl.models.registry import ModelVersion, Registry
from sparkdl.spark.session import spark_session
from streaming.kafka.local.broker import Broker
from streaming.spark_conf import DELTA, KAFKA, stream_conf
from training.data.loading import Dataset, open_dataset
from training.fitting.recipes import recipe
from training.train import train

BROKER = pytest.StashKey[str]()
LEVELS = ("end_to_end", "integration", "unit")
"""Directories of tests, the longest tests first, so that all processes end at about the same time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LEVELS.index(item.path.relative_to(TESTS).parts[0]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give the tests of a group to one process, with `--dist loadfile`."""
    if config.getvalue("dist") != "loadfile":
        return None
    from groups import GroupScheduling

    return GroupScheduling(config, log)


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """The session that all tests share: two slots, two shuffle partitions, and the connectors if they can be had."""
    settings = stream_conf() | {"spark.master": "local[2]", "spark.sql.shuffle.partitions": "2"}
    try:
        session = spark_session("tests", stream_conf((KAFKA, DELTA)) | settings, [KAFKA.lock, DELTA.lock])
    except SparkdlError as error:
        if os.environ.get("CI") == "true":
            raise  # nothing that can run there is skipped
        warnings.warn(f"the tests of Kafka and Delta on Spark are skipped: {error}", stacklevel=1)
        session = spark_session("tests", settings)
    yield session
    session.stop()


@pytest.fixture(scope="session")
def kafka_spark(spark: SparkSession) -> SparkSession:
    """The shared session, which has the Kafka connector."""
    return _with(spark, KAFKA.package)


@pytest.fixture(scope="session")
def delta_spark(spark: SparkSession) -> SparkSession:
    """The shared session, which has Delta Lake."""
    return _with(spark, DELTA.package)


def _with(spark: SparkSession, package: str) -> SparkSession:
    _, artifact, version = package.split(":")
    jars = spark.sparkContext.getConf().get("spark.jars", "")
    need(f"/{artifact}-{version}.jar" in jars, f"{package} could not be fetched: see the warning")
    return spark


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The `HOST:PORT` of a broker; which one it is stands at the end of the report."""
    with a_broker(tmp_path_factory.mktemp("kafka")) as (address, words):
        request.config.stash[BROKER] = words
        yield address


@pytest.fixture(scope="module", autouse=True)
def clients_are_closed() -> Iterator[None]:
    """Fail if a module leaves a Kafka client open: it would log into the tests after it that its broker is gone."""
    yield
    deadline = time.monotonic() + 5
    while left := [each.name for each in threading.enumerate() if each.name.startswith("kafka-io-")]:
        assert time.monotonic() < deadline, f"Kafka clients were not closed: {left}"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(Authority(tmp_path_factory.mktemp("keys")), Authority(tmp_path_factory.mktemp("stranger"), "stranger"))


@pytest.fixture(scope="session")
def secured_broker(keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker of this machine's that asks for logins and certificates."""
    with a_secured_broker(keys, tmp_path_factory.mktemp("secured") / "broker") as broker:
        yield broker


def pytest_sessionfinish(session: pytest.Session) -> None:
    # Where tests run in several processes, the one that has the terminal has no broker.
    if (words := session.config.stash.get(BROKER, None)) and hasattr(session.config, "workeroutput"):
        session.config.workeroutput["kafka"] = words


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    if words := getattr(node, "workeroutput", {}).get("kafka"):
        node.config.stash[BROKER] = words


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if words := terminalreporter.config.stash.get(BROKER, None):
        terminalreporter.write_line(f"kafka: {words}")


@pytest.fixture(scope="session")
def numtadb_home() -> Path:
    """The directory of real images (see the README); tests that need them are skipped where it is not set."""
    home = os.environ.get("NUMTADB_HOME")
    if not home:
        pytest.skip("NUMTADB_HOME is not set: no real images to test on")
    return Path(home)


@pytest.fixture(scope="session")
def inception_weights(numtadb_home: Path) -> Path:
    """InceptionV3 without its top, beside the real images."""
    path = numtadb_home.parent / "weights" / "inception_v3_notop.h5"
    need(path.is_file(), f"no weights of InceptionV3 beside NUMTADB_HOME ({path.name})")
    return path


@pytest.fixture(scope="session")
def drawn() -> Dataset:
    """400 drawn digits, 40 a class."""
    return open_dataset("samples:40")


@pytest.fixture(scope="session")
def registry(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """A registry with one promoted model, trained on drawn digits. All processes of a run read it; none changes it."""

    def make(path: Path) -> None:
        # Only the process that trains needs Spark and the images for this.
        spark, drawn = request.getfixturevalue("spark"), request.getfixturevalue("drawn")
        train(spark, drawn, recipe("digits", ["max_iter=20", "augmentations=0"]), Registry(path))

    return Registry(make_once(run_directory(tmp_path_factory) / "registry", make))


@pytest.fixture(scope="session")
def model(registry: Registry) -> ModelVersion:
    """The promoted model of `registry`."""
    current = registry.current()
    assert current is not None
    return current
