"""What the image and the compose file promise, as far as it can be read from them."""

from __future__ import annotations

import re

from paths import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = (ROOT / "docker-compose.yml").read_text()


def test_the_image_is_installed_from_locks_without_tensorflow() -> None:
    locks = re.findall(r"pip install .*-r (\S+)", DOCKERFILE)
    assert set(locks) == {"locks/core.lock", "locks/build.lock", "locks/java.lock"}
    assert all("--require-hashes" in line for line in DOCKERFILE.splitlines() if re.search(r"pip install .*-r ", line))
    for lock in locks:
        assert not re.search(r"^(tensorflow|keras|tf2onnx)", (ROOT / lock).read_text(), re.MULTILINE)


def test_the_image_runs_as_a_user_of_its_own() -> None:
    final = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    users = re.findall(r"^USER (\S+)", final, re.MULTILINE)
    assert users == ["10001"]
    assert "useradd --uid 10001" in final


def test_each_image_can_be_replaced() -> None:
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"${BASE}"}
    assert set(re.findall(r"^ +image: (.+)", COMPOSE, re.MULTILINE)) == {
        "${SPARKDL_IMAGE:-sparkdl-streaming:local}",
        "${KAFKA_IMAGE:-apache/kafka:4.2.0}",
    }
    (default,) = re.findall(r"^ARG BASE=(\S+)", DOCKERFILE, re.MULTILINE)
    assert f"BASE: ${{BASE:-{default}}}" in COMPOSE


def test_ports_are_open_to_this_machine_only() -> None:
    ports = re.findall(r"^ +ports: (.+)", COMPOSE, re.MULTILINE)
    assert ports == ['["127.0.0.1:${KAFKA_PORT:-9092}:9092"]']


def test_every_service_is_confined_and_has_a_limit_of_memory() -> None:
    listed = COMPOSE.split("\nservices:\n")[1].split("\nvolumes:\n")[0] + "\n"
    services = re.findall(r"^  (\w+):.*\n((?:    .*\n|\n)+)", listed, re.MULTILINE)
    assert {name for name, _ in services} == {"kafka", "topics", "train", "stream", "predictions", "producer"}
    for name, body in services:
        assert re.search(r"^    <<: \*(confined|sparkdl)$", body, re.MULTILINE), name
        assert re.search(r"^    mem_limit: ", body, re.MULTILINE), name
    assert re.search(r'&confined\n  cap_drop: \[ALL\]\n  security_opt: \["no-new-privileges:true"\]\n', COMPOSE)
    assert "&sparkdl\n  <<: *confined\n" in COMPOSE
    assert not re.search("cap_add|privileged: true|unconfined", COMPOSE)
