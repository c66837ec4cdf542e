"""Settings of a local broker: defaults, and its ports on the loopback interface."""

from __future__ import annotations

import random
import re
import socket
import time
from collections.abc import Iterable, Mapping, Sequence

from sparkdl.errors import RequestError

HOST = "127.0.0.1"
DEFAULT_PORT = 9092
CONTROLLER = "CONTROLLER"
"""The name of the controller's listener."""

_RELEASE = 5.0  # seconds to wait for a killed process to release its port
_POLL = 0.05  # seconds
# Free ports are chosen below the range of outgoing connections: otherwise a client could occupy the broker's port while
# the broker is down.
_PORTS = range(20_000, 32_768)

PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    # Relative to the broker's directory, because its name may contain any character.
    "log.dirs": "data",
    # One node: nothing can be replicated, and waiting for more members of a new consumer group only costs time.
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
    # A killed broker can only rejoin after its old session has ended, by default after 9 s.
    "broker.session.timeout.ms": "4000",
    "broker.heartbeat.interval.ms": "1000",
    # 40 MiB, above the limit of a stream: the stream, not the broker, must refuse images that are too long.
    "message.max.bytes": "41943040",
    # There is little to compact, and the default, 128 MiB, would be a quarter of the heap.
    "log.cleaner.dedupe.buffer.size": "4194304",
}
"""Broker settings that differ from Kafka's defaults."""


def choose_ports(names: Sequence[str], port: int | None, before: Mapping[str, int]) -> dict[str, int]:
    """Return a port for each listener of `names`, and one for the controller.

    Parameters
    ----------
    names
        PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL, each once.
    port
        The port of the first listener: 0 for a free port, None for its port in `before` or 9092. The others keep their
        ports if possible.
    before
        The ports of the last start.

    Raises
    ------
    RequestError
        If the port of the first listener is in use.
    """
    first = names[0]
    wanted = before.get(first, DEFAULT_PORT) if port is None else port
    # A killed process may hold its port for a moment.
    patience = time.monotonic() + (_RELEASE if wanted == before.get(first) else 0)
    while wanted and not is_free(wanted):
        if time.monotonic() > patience:
            raise RequestError(f"port {wanted} is taken: use --port 0 for a free one")
        time.sleep(_POLL)
    ports = {first: wanted or free_port()}
    for name in (*names[1:], CONTROLLER):
        kept = before.get(name)
        usable = kept is not None and kept not in ports.values() and is_free(kept)
        ports[name] = kept if kept is not None and usable else free_port(ports.values())
    return ports


def listener_settings(ports: Mapping[str, int]) -> dict[str, str]:
    """Return the broker settings for the ports that `choose_ports` returned."""
    addresses = {name: f"{name}://{HOST}:{port}" for name, port in ports.items()}
    clients = [name for name in ports if name != CONTROLLER]
    return {
        "listeners": ",".join(addresses.values()),
        "advertised.listeners": ",".join(addresses[name] for name in clients),
        "listener.security.protocol.map": ",".join(
            [f"{CONTROLLER}:PLAINTEXT", *(f"{name}:{name}" for name in clients)]
        ),
        "inter.broker.listener.name": "PLAINTEXT" if "PLAINTEXT" in clients else clients[0],
        "controller.listener.names": CONTROLLER,
        "controller.quorum.voters": f"1@{HOST}:{ports[CONTROLLER]}",
    }


def ports_in(properties: str) -> dict[str, int]:
    """Return the ports in the text of a broker's properties file, by listener name."""
    line = next((line for line in properties.splitlines() if line.startswith("listeners=")), "")
    return {name: int(port) for name, port in re.findall(r"(\w+)://[^,]*:(\d+)", line)}


def free_port(taken: Iterable[int] = ()) -> int:
    """Return a free port that is not in `taken`."""
    ports = list(set(_PORTS) - set(taken))
    random.shuffle(ports)
    return next(filter(is_free, ports))


def is_free(port: int) -> bool:
    """Whether a server could listen on `port`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def takes_connections(address: str) -> bool:
    """Whether a server listens at `HOST:PORT`."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=5):
            return True
    except OSError:
        return False
