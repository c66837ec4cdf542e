"""Promises of `streaming.realtime.partitions`."""

from __future__ import annotations

import threading

import pytest
from streams import wait_until

from sparkdl.errors import SparkdlError
from streaming.realtime import partitions
from streaming.realtime.partitions import PartitionWatch


def test_partitions_are_counted_again_also_after_a_broker_did_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "_EVERY", 0.001)
    answers = iter([2, SparkdlError("no broker"), 3])
    over = threading.Event()

    def count() -> int:
        answer = next(answers, None)
        if answer is None:
            over.set()
            return 3
        if isinstance(answer, SparkdlError):
            raise answer
        return answer

    watch = PartitionWatch(count)
    assert watch.partitions == 2
    watch.start()
    watch.start()
    assert over.wait(30)
    watch.close()
    wait_until(lambda: not any(thread.name == "partitions" for thread in threading.enumerate()))
    assert watch.partitions == 3
