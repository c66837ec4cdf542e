"""What the image and the compose file promise, as far as it can be read from them."""

from __future__ import annotations

import re

from paths import ROOT

from sparkdl.system.extras import EXTRAS

DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = (ROOT / "docker-compose.yml").read_text()


def test_the_image_is_installed_from_locks_without_tensorflow() -> None:
    locks = re.findall(r"pip install .*-r (\S+)", DOCKERFILE)
    assert set(locks) == {"locks/image.lock", "locks/build.lock", "locks/java.lock"}
    assert all("--require-hashes" in line for line in DOCKERFILE.splitlines() if re.search(r"pip install .*-r ", line))
    for lock in locks:
        assert not re.search(r"^(tensorflow|keras|tf2onnx)", (ROOT / lock).read_text(), re.MULTILINE)


def test_the_image_has_the_extras_that_its_services_use_and_no_other() -> None:
    lock = {
        name.lower() for name in re.findall(r"^([\w-]+)==", (ROOT / "locks" / "image.lock").read_text(), re.MULTILINE)
    }
    extras = {
        extra: {package.lower() for package in packages.values() if package.lower() in lock}
        for extra, packages in EXTRAS.items()
    }
    assert {extra for extra, found in extras.items() if found} == {"train", "kafka"}
    for extra in ("train", "kafka"):
        assert extras[extra] == {package.lower() for package in EXTRAS[extra].values()}


def test_the_core_lock_has_no_package_of_an_extra() -> None:
    lock = (ROOT / "locks" / "core.lock").read_text()
    for packages in EXTRAS.values():
        for package in packages.values():
            assert not re.search(rf"^{package}==", lock, re.MULTILINE | re.IGNORECASE), package


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
