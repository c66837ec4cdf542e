"""The broker that tests talk to: the one that is named, else one in a container, else one on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from streaming.kafka.local.broker import Broker
from streaming.kafka.local.listeners import HOST, free_port

SERVERS, IMAGE = "KAFKA_BOOTSTRAP_SERVERS", "SPARKDL_KAFKA_IMAGE"
DEFAULT_IMAGE = "apache/kafka:4.2.0"
_DOCKER = 5  # seconds for the daemon to answer
_START = 120  # seconds for the container to start


@contextmanager
def a_broker(directory: Path) -> Iterator[tuple[str, str]]:
    """The address of a broker to test on, and which one it is; `directory` is for the one on this machine."""
    named, image = os.environ.get(SERVERS), os.environ.get(IMAGE) or DEFAULT_IMAGE
    if named:
        yield named, f"the broker at {named}, out of {SERVERS}"
    elif has_image(image):
        with container_broker(image) as address:
            yield address, f"a container of {image} at {address}"
    elif IMAGE in os.environ:
        raise RuntimeError(f"{IMAGE} asks for {image}, and there is no Docker that has it")
    else:
        with Broker(directory).running(port=0) as address:
            yield address, f"a broker on this machine at {address} (no Docker with the image {image})"


@cache
def has_image(image: str) -> bool:
    """Whether a Docker daemon answers and has `image`; it is not asked to fetch it, which may take minutes."""
    import docker
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    try:
        client = docker.from_env(timeout=_DOCKER)
        try:
            client.images.get(image)
        finally:
            client.close()
    except (DockerException, RequestException):
        return False
    return True


@contextmanager
def container_broker(image: str) -> Iterator[str]:
    """The address of a single-node broker in a container of an image that is configured as `apache/kafka` is."""
    # Its reaper is a separate image, which need not be there; the ports of the daemon's host are asked for.
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    os.environ.setdefault("TESTCONTAINERS_CONNECTION_MODE", "docker_host")
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    # The broker tells clients its address, so its port is chosen before it starts, the same inside and outside.
    port = free_port()
    container = DockerContainer(image).with_bind_ports(port, port)
    host = container.get_docker_client().host().replace("localhost", HOST)
    settings = {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_LISTENERS": f"PLAINTEXT://:{port},CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://{host}:{port}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_INTER_BROKER_LISTENER_NAME": "PLAINTEXT",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_MESSAGE_MAX_BYTES": "41943040",
        "KAFKA_HEAP_OPTS": "-Xmx512m",
    }
    started = LogMessageWaitStrategy("Kafka Server started").with_startup_timeout(_START)
    with container.with_envs(**settings).waiting_for(started):
        yield f"{host}:{port}"
