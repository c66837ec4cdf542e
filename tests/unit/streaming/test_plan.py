"""Promises of `streaming.plan`: what a session must be started with, each connector once."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparkdl.models.registry import ModelVersion
from streaming.plan import StreamPlan
from streaming.settings import StreamSettings
from streaming.spark_conf import CONF, DELTA, KAFKA, Connector


def plan(source: str, sink: str) -> StreamPlan:
    settings = StreamSettings(source=source, sink=sink, checkpoint=Path("checkpoint"))
    return StreamPlan(settings, settings.make_source(), settings.make_sink(), ModelVersion(Path("model"), {}), {})


@pytest.mark.parametrize(
    ("source", "sink", "connectors"),
    [
        ("in", "out", []),
        ("delta", "parquet:delta:", []),
        ("in", "delta:out", [DELTA]),
        ("kafka://h:1/t", "out", [KAFKA]),
        ("kafka://h:1/t", "kafka://h:1/u", [KAFKA]),
        ("kafka://h:1/t", "delta:out", [KAFKA, DELTA]),
    ],
)
def test_a_session_has_the_connectors_of_source_and_sink_once(
    source: str, sink: str, connectors: list[Connector]
) -> None:
    found = plan(source, sink)
    assert found.connectors == connectors
    assert CONF.items() <= found.spark_conf.items()
    assert (DELTA.conf.items() <= found.spark_conf.items()) == (DELTA in connectors)
