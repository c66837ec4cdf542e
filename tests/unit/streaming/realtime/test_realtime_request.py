"""Promises of `streaming.realtime.request`: what the real-time mode cannot do is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from refusals import refused

from sparkdl.inference.classifier import PipelineClassifier
from sparkdl.models.registry import ModelVersion
from streaming.plan import prepare
from streaming.realtime.request import check_request, check_slots, fused_model, own_master
from streaming.settings import StreamSettings

FROM, TO = "kafka://h:1/images", "kafka://h:1/results"


def settings(**given: Any) -> StreamSettings:
    needed = {"source": FROM, "sink": TO, "checkpoint": "progress", "trigger": "realtime"}
    return StreamSettings.read(**(needed | given))


def test_from_kafka_to_kafka_is_accepted() -> None:
    plain = settings()
    assert plain.is_realtime
    source, sink = check_request(plain, plain.make_source(), plain.make_sink())
    assert (str(source), str(sink)) == (FROM, TO)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"source": "watched"}, ("reads from kafka://HOST:PORT/TOPIC only", "use --trigger 0s")),
        ({"sink": "parquet:out"}, ("writes to kafka://HOST:PORT/TOPIC only", "not to parquet:out", "use --trigger 0s")),
        ({"sink": "delta:out"}, ("writes to kafka://HOST:PORT/TOPIC only", "use --trigger 0s")),
        ({"sink": "console"}, ("writes to kafka://HOST:PORT/TOPIC only", "use --trigger 0s")),
        ({"available_now": True}, ("--available-now", "omit it, or use --trigger 0s")),
        ({"max_images_per_trigger": 10}, ("--max-images-per-trigger", "omit it, or use --trigger 0s")),
        ({"min_partitions": 4}, ("--min-partitions", "omit it, or use --trigger 0s")),
        ({"label_from": "parent"}, ("--label-from parent is for directories",)),
    ],
)
def test_what_it_cannot_do_is_refused_before_anything_is_contacted(
    given: dict[str, Any], words: tuple[str, ...]
) -> None:
    with refused(*words):
        prepare(settings(**given))


def test_a_pipeline_of_other_stages_is_refused() -> None:
    other = PipelineClassifier(None, ("a", "b"))  # type: ignore[arg-type] # its stages are not asked for
    with refused("a pipeline that can be fused", "model other has other stages", "use --trigger 0s"):
        fused_model(ModelVersion(Path("other"), {}), other)


def test_a_session_of_its_own_has_more_slots_than_partitions() -> None:
    assert own_master(2, 64) == "local[64,4]"
    assert own_master(100, 2) == "local[116,4]"


def test_fewer_slots_than_partitions_are_refused() -> None:
    check_slots(4, 4)
    with refused("each of the 5 partitions", "Spark has 4", "use --trigger 0s"):
        check_slots(4, 5)
