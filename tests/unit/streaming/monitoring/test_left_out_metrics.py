"""Promises of a stream's log and metrics about what its source leaves out."""

from __future__ import annotations

import json

import pytest

from sparkdl.system.left_out import LeftOut, Why
from streaming.monitoring.log import BatchLog
from streaming.monitoring.metrics import Metrics


def left_out(*names: tuple[Why, str]) -> LeftOut:
    found = LeftOut()
    for why, name in names:
        found.add(why, name)
    return found


def test_each_reason_is_logged_once_and_names_that_come_and_go_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    log = BatchLog()
    log.left_out(left_out((Why.HIDDEN, ".x"), (Why.TEMPORARY, "a.part"), (Why.TEMPORARY, "b\x1b[2J.part")))
    log.left_out(left_out((Why.TEMPORARY, "c.part"), (Why.IGNORED, "raw/"), (Why.UNREADABLE, "closed/")))
    logged = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["event"], line["reason"], line["count"], line["names"]) for line in logged] == [
        ("left out", "temporary", 2, "a.part, b\x1b[2J.part"),
        ("left out", "ignored", 1, "raw/"),
    ]


def test_the_metric_has_each_reason_from_the_start_and_falls_again() -> None:
    metrics = Metrics()

    def values() -> dict[str, float]:
        lines = [line for line in metrics.text().decode().splitlines() if line.startswith("sparkdl_left_out{")]
        return {line.split('"')[1]: float(line.split()[-1]) for line in lines}

    zeros = dict.fromkeys(("hidden", "temporary", "ignored", "not_regular", "unreadable"), 0.0)
    assert values() == zeros
    metrics.left_out(left_out((Why.TEMPORARY, "a.part"), (Why.TEMPORARY, "b.part"), (Why.UNREADABLE, "c/")))
    assert values() == zeros | {"temporary": 2, "unreadable": 1}
    metrics.left_out(LeftOut())
    assert values() == zeros
