"""Checks of Kafka, Docker and the GPU."""

from __future__ import annotations

import re
import shutil
import subprocess

from console.checks.base import PROGRAM_TIMEOUT, Finding, Question, State
from sparkdl.errors import SparkdlError

_KAFKA_TIMEOUT = 5.0  # seconds


def find_kafka(question: Question) -> Finding:
    """Check that the broker that the user names answers, or else the local one."""
    if question.kafka is not None:
        return _find_broker(question, question.kafka)
    from streaming.kafka.local.broker import Broker, default_directory

    status = Broker(question.kafka_directory or default_directory()).status()
    if status.running:
        return Finding(State.OK, f"local broker at {status.address}")
    if status.pid is not None:
        return Finding(State.WARN, f"the local broker does not answer at {status.address}", "sparkdl kafka stop")
    return Finding(State.WARN, "no local broker is running", "sparkdl kafka start")


def _find_broker(question: Question, server: str) -> Finding:
    from streaming.kafka.client_config import ClientConfig
    from streaming.kafka.preflight import probe

    try:
        probe(server, ClientConfig.read(question.kafka_config), _KAFKA_TIMEOUT)
    except SparkdlError as error:
        return Finding(State.MISSING, f"{server} refuses", str(error))
    except (OSError, OverflowError) as error:
        advice = "start the broker, or check the address, the firewall and its advertised listeners"
        return Finding(
            State.MISSING, f"{server} cannot be reached: {getattr(error, 'strerror', None) or error}", advice
        )
    return Finding(State.OK, f"{server} answers")


def find_docker(question: Question) -> Finding:
    """Check that Docker's daemon answers, and that it has Compose."""
    purpose = "for docker compose"
    if shutil.which("docker") is None:
        return Finding(State.WARN, f"not installed; {purpose}", "see https://docs.docker.com/engine/install")
    code, server = _run("docker", "version", "--format", "{{.Server.Version}}")
    if code:
        return Finding(State.WARN, f"the daemon does not answer; {purpose}", "sudo systemctl start docker")
    code, compose = _run("docker", "compose", "version", "--short")
    if code:
        return Finding(State.WARN, f"{server}, without Compose; {purpose}", "apt-get install docker-compose-plugin")
    return Finding(State.OK, f"{server}, Compose {compose}")


def find_gpu(question: Question) -> Finding:
    """Look for a GPU; only TensorFlow uses one, to train InkNet."""
    if shutil.which("nvidia-smi") is not None:
        code, listed = _run("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
        if not code and listed:
            return Finding(State.OK, f"{listed.splitlines()[0]}; used to train InkNet only")
    return Finding(State.OK, "none; not needed, networks run on the CPU")


def _run(*command: str) -> tuple[int, str]:
    """Return the exit code of a program and the first characters of what it prints."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 1, ""
    return done.returncode, re.sub(r"[^\x20-\x7e\n]", "", done.stdout).strip()[:200]
