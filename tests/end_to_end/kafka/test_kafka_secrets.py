"""Promises of passwords and keys for Kafka: no log, plan, command line or checkpoint tells them to anybody."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
import pytest
from pyspark.sql import SparkSession
from secured import KEY_PASSWORD, PASSWORD, SASL_SSL, Keys, Properties, login, new_name, written
from streams import digits

from producer.replay import sequence
from producer.topic import replay_to_topic
from sparkdl.models.registry import Registry
from streaming.kafka.address import KafkaAddress
from streaming.kafka.client_config import ClientConfig
from streaming.kafka.local.broker import Broker
from streaming.kafka.local.listeners import free_port
from streaming.readers.kafka import KafkaReader
from streaming.settings import StreamSettings
from training.data.loading import Dataset

PAGES = ("/environment/", "/SQL/", "/StreamingQuery/", "/jobs/", "/stages/", "/executors/", "/storage/")
PLAN = "KafkaStreamingWrite"
"""Where the plan of a query is shown."""
OF_A_STORE = "store-9b1c"
STORE_KEYS = (
    "spark.hadoop.fs.s3a.secret.key",
    "spark.hadoop.fs.s3a.session.token",
    "spark.hadoop.fs.azure.account.key.a.dfs.core.windows.net",
    "spark.hadoop.fs.gs.auth.service.account.private.key",
    "spark.ssl.keyPassword",
    "spark.hadoop.fs.azure.sas.container.account",
)


def all_secrets(keys: Keys) -> tuple[Properties, set[str]]:
    """Properties with secrets of every kind, and what must not be seen of them."""
    properties = login(SASL_SSL, "SCRAM-SHA-512") | keys.inline_key()
    return properties, {PASSWORD, KEY_PASSWORD, properties["ssl.keystore.key"].splitlines()[1]}


def seen(secrets: set[str], text: str) -> set[str]:
    return {secret for secret in secrets if secret in text}


@pytest.mark.slow
def test_a_stream_tells_nobody_its_secrets(
    kafka_spark: SparkSession, secured_broker: Broker, keys: Keys, tmp_path: Path, drawn: Dataset, registry: Registry
) -> None:
    properties, secrets = all_secrets(keys)
    file = written(tmp_path, properties)
    source, sink = (KafkaAddress(secured_broker.addresses()[SASL_SSL], new_name()) for _ in range(2))
    replay_to_topic(sequence(Dataset("", tuple(digits(drawn, 2)))), source, ClientConfig.read(file))
    checkpoint, events = tmp_path / "checkpoint", tmp_path / "events"
    events.mkdir()
    settings = {
        "spark.master": "local[2]",
        "spark.log.level": "INFO",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": events.as_uri(),
        "spark.eventLog.compress": "false",
        "spark.ui.enabled": "true",
        "spark.ui.port": str(free_port()),
        # Spark's option for a store may only appear on the command line of the user who sets it there.
        **{name: f"{OF_A_STORE}-{number}" for number, name in enumerate(STORE_KEYS)},
    }
    command = [
        *(sys.executable, "-m", "console.main", "stream", "--debug", "--kafka-config", str(file)),
        *("--source", str(source), "--sink", str(sink)),
        *("--model", str(registry.path), "--checkpoint", str(checkpoint)),
        *(part for name, value in settings.items() for part in ("--conf", f"{name}={value}")),
    ]
    said = tmp_path / "said.txt"
    lines, environments, pages = set[str](), set[str](), dict[str, str]()
    with said.open("wb") as words:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with subprocess.Popen(command, stdout=words, stderr=words, cwd=tmp_path, env=environment) as stream:
            process, deadline = psutil.Process(stream.pid), time.monotonic() + 60
            while stream.poll() is None:
                lines |= command_lines(process)
                environments |= environments_of(process)
                pages |= shown_at(f"http://127.0.0.1:{settings['spark.ui.port']}")
                if PLAN in "".join(pages.values()) or time.monotonic() > deadline:
                    stream.terminate()  # the first one; it ends after its micro-batch
                    break
                time.sleep(0.05)
            stream.wait(60)
    spoken = said.read_text()
    assert stream.returncode == 0, spoken[-3000:]
    assert "ConsumerConfig values" in spoken
    assert "ProducerConfig values" in spoken
    assert seen(secrets, spoken) == set()

    assert any("org.apache.spark" in line for line in lines)
    assert seen(secrets, "\n".join(lines)) == set()
    assert any("SPARK_LOCAL_IP" in environment for environment in environments)
    assert seen(secrets | {OF_A_STORE}, "\n".join(environments)) == set()

    [environment] = (text for page, text in pages.items() if page.endswith("/environment"))
    assert set(STORE_KEYS) <= {name for name, _ in json.loads(environment)["sparkProperties"]}
    assert PLAN in "".join(pages.values())
    assert {page: found for page, text in pages.items() if (found := seen(secrets | {OF_A_STORE}, text))} == {}

    logged = "".join(path.read_text() for path in events.rglob("*") if path.is_file())
    assert PLAN in logged
    assert seen(secrets | {OF_A_STORE}, logged) == set()

    kept = {path.relative_to(checkpoint): path.read_bytes() for path in checkpoint.rglob("*") if path.is_file()}
    assert {Path("sparkdl.json"), Path("offsets/0"), Path("commits/0")} <= kept.keys()
    assert [path for path, content in kept.items() if seen(secrets, content.decode("latin-1"))] == []


def environments_of(process: psutil.Process) -> set[str]:
    """The environments of what a process has started; its own is the test's."""
    found = set()
    try:
        for one in process.children(recursive=True):
            found.add(str(one.environ()))
    except psutil.Error:  # it has just ended
        pass
    return found


def shown_at(address: str) -> dict[str, str]:
    """The pages of Spark's UI, and what its interface for programs gives."""
    found = {}
    with suppress(OSError, HTTPException, ValueError):  # it starts, or has ended
        [application] = json.loads(fetched(f"{address}/api/v1/applications"))
        own = f"/api/v1/applications/{application['id']}"
        for page in (*PAGES, f"{own}/environment", f"{own}/sql?details=true", f"{own}/allexecutors", f"{own}/jobs"):
            with suppress(HTTPError):
                found[page] = fetched(address + page)
        for number in (0, 1):
            with suppress(HTTPError):
                page = f"/SQL/execution/?id={number}"
                found[page] = fetched(address + page)
    return found


def fetched(address: str) -> str:
    with urlopen(address, timeout=5) as response:
        return str(response.read(), "utf-8")


def command_lines(process: psutil.Process) -> set[str]:
    """What `ps` shows of a process and all that it has started."""
    found = set()
    try:
        for one in (process, *process.children(recursive=True)):
            found.add(" ".join(one.cmdline()))
    except psutil.Error:  # it has just ended
        pass
    return found


def test_plans_do_not_show_secrets(
    kafka_spark: SparkSession, secured_broker: Broker, keys: Keys, tmp_path: Path
) -> None:
    properties, secrets = all_secrets(keys)
    settings = StreamSettings.read(
        source=f"kafka://{secured_broker.addresses()[SASL_SSL]}/any",
        sink="console",
        checkpoint=tmp_path / "checkpoint",
        kafka_config=written(tmp_path, properties),
    )
    plan = settings.make_source().open(kafka_spark, settings.checkpoint, 100)._jdf.queryExecution().toString()
    assert "kafka" in plan
    assert seen(secrets, plan) == set()


def test_settings_show_the_path_alone(keys: Keys, tmp_path: Path) -> None:
    properties, secrets = all_secrets(keys)
    file = written(tmp_path, properties)
    settings = StreamSettings.read(source="a", sink="b", checkpoint=tmp_path, kafka_config=file)
    for shown in (repr(settings), settings.model_dump_json(), repr(ClientConfig.read(file))):
        assert seen(secrets, shown) == set()
    assert str(file) in repr(settings)


def test_clients_do_not_log_secrets(
    secured_broker: Broker, keys: Keys, tmp_path: Path, drawn: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    properties, secrets = all_secrets(keys)
    config = ClientConfig.read(written(tmp_path, properties))
    address = KafkaAddress(secured_broker.addresses()[SASL_SSL], new_name())
    with caplog.at_level(logging.DEBUG, "kafka"):
        replay_to_topic(sequence(Dataset("", tuple(digits(drawn, 1)))), address, config)
        KafkaReader(KafkaAddress(address.servers, address.topic), config).summary()
    assert "sasl_plain_password" in caplog.text
    assert seen(secrets, caplog.text) == set()
