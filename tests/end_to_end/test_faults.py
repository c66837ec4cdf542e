"""Promises of `streaming.fault_injection`, and that a stream that is killed at such a point loses and doubles
nothing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from paths import ROOT
from refusals import refused

from console.main import run
from streaming.fault_injection import VARIABLE, FaultPoint, check_fault_point


def reach(given: str | None, *points: FaultPoint) -> subprocess.CompletedProcess[str]:
    """A process that gets to each of `points` and says how far it came."""
    program = "import sys\nfrom streaming.fault_injection import FaultPoint, fault_point\n"
    program += "".join(
        f"fault_point(FaultPoint({point.value!r})); print({n}, flush=True)\n" for n, point in enumerate(points)
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop(VARIABLE, None)
    if given is not None:
        environment[VARIABLE] = given
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)


def test_nothing_happens_without_the_variable() -> None:
    done = reach(None, *FaultPoint)
    assert (done.returncode, done.stdout.split()) == (0, ["0", "1", "2", "3", "4"])


def test_the_process_is_killed_where_the_variable_says_so() -> None:
    done = reach("committed", FaultPoint.STAGED, FaultPoint.COMMITTED, FaultPoint.PUBLISHED)
    assert (done.returncode, done.stdout.split()) == (-signal.SIGKILL, ["0"])


def test_a_number_is_the_time_of_reaching_the_point() -> None:
    done = reach("staged:2", FaultPoint.STAGED, FaultPoint.COMMITTED, FaultPoint.STAGED, FaultPoint.COMMITTED)
    assert (done.returncode, done.stdout.split()) == (-signal.SIGKILL, ["0", "1"])


def test_an_unknown_name_is_refused_with_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "somewhere")
    with refused("SPARKDL_FAULT_POINT 'somewhere'", *FaultPoint):
        check_fault_point()


def test_a_stream_refuses_an_unknown_name_before_it_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, "comitted:2")
    assert run(["stream", "--source", "in", "--sink", "out", "--checkpoint", "progress"]) == 2
    assert capsys.readouterr().err == "sparkdl: unknown SPARKDL_FAULT_POINT 'comitted': did you mean committed?\n"


@pytest.mark.parametrize("given", ["staged:0", "staged:x", "staged:", "staged:-1"])
def test_another_number_is_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv(VARIABLE, given)
    with refused("NAME:N", given):
        check_fault_point()
