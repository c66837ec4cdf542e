"""`sparkdl doctor --kafka` with a real broker."""

from __future__ import annotations

from pathlib import Path

from console.checks.base import Finding, Question, State
from console.checks.services import find_kafka
from streaming.kafka.local.broker import Broker


def test_a_broker_that_answers_is_ok(kafka: str) -> None:
    assert find_kafka(Question(kafka=kafka)) == Finding(State.OK, f"{kafka} answers")


def test_a_broker_that_asks_for_a_login_is_missing_without_one(secured_broker: Broker) -> None:
    address = secured_broker.addresses()["SASL_SSL"]
    found = find_kafka(Question(kafka=address))
    assert (found.state, found.value) == (State.MISSING, f"{address} refuses")
    assert found.advice


def test_a_local_broker_that_runs_is_ok(secured_broker: Broker) -> None:
    found = find_kafka(Question(kafka_directory=Path(secured_broker.directory)))
    assert (found.state, found.value) == (State.OK, f"local broker at {secured_broker.status().address}")
