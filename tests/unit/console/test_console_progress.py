"""Progress of long work, and what `--quiet` and `NO_COLOR` leave out."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from contextlib import redirect_stderr
from pathlib import Path

import pytest
from paths import ROOT

from console.main import run
from console.output import set_quiet
from console.progress import Lines, Pace, counting, format_seconds, progressing
from streaming.monitoring.log import BatchLog

COLOUR = re.compile(r"\x1b\[[\d;]*3\d[\d;]*m")


class Clock:
    """A clock that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_rate_and_the_time_left_are_told() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert pace.describe(0, 300) == "0 of 300"
    clock.now = 4
    assert pace.describe(200, 300) == "200 of 300, 50.0/s, 0:02 left"
    assert pace.describe(300, 300) == "300 of 300, 75.0/s"
    assert pace.describe(200, None) == "200, 50.0/s"


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3723, "1:02:03")])
def test_durations_are_written_as_on_a_clock(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def test_without_a_terminal_a_step_has_a_line_at_its_beginning_its_end_and_each_ten_seconds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    lines = Lines(announce=True, clock=clock)
    lines("preparing images", 0, 100)
    for clock.now, done in ((5, 10), (11, 20), (12, 21), (20, 100)):
        lines("preparing images", done, 100)
    lines("fitting", 0, 0)
    assert capsys.readouterr().err.splitlines() == [
        "preparing images: 0 of 100",
        "preparing images: 20 of 100, 1.8/s, 0:44 left",
        "preparing images: 100 of 100, 5.0/s",
        "fitting",
    ]


def test_short_counts_have_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    with counting("sending", 2) as note:
        note(1)
        note(2)
    assert capsys.readouterr().err == ""


def test_quiet_leaves_out_messages_and_progress(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    request = ["produce", "--data", "samples:1", "--to"]
    assert run([*request, str(tmp_path / "quiet"), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert run([*request, str(tmp_path / "out")]) == 0
    assert capsys.readouterr().err.endswith(f"sent 10 images to {tmp_path / 'out'}\n")


def test_quiet_leaves_results_and_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["kafka", "status", "-q", "--json", "--dir", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert ('"running": false' in out, err) == (True, "")
    assert run(["predict", "nowhere.png", "--quiet", "--model", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("sparkdl: ")


def test_quiet_leaves_what_a_settings_file_deletes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sparkdl.toml").write_text('[stream]\nafter_read = "delete"')
    assert run(["stream", "--quiet", "--source", "no", "--sink", "o", "--checkpoint", "c"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == "  by sparkdl.toml, files below no are deleted once they are read (after_read)"
    assert second.startswith("sparkdl: ")


def test_progress_of_steps_is_silent_too(capsys: pytest.CaptureFixture[str]) -> None:
    set_quiet(True)
    try:
        with progressing() as progress:
            progress("fitting", 1, 2)
    finally:
        set_quiet(False)
    assert capsys.readouterr().err == ""


def test_a_quiet_log_has_warnings_and_errors_only() -> None:
    with redirect_stderr(io.StringIO()) as said:
        log = BatchLog(quiet=True)
        log.started("in", "out", Path("c"), "m")
        log.model_refused("m", "why")
        log.ended()
    assert [line for line in said.getvalue().splitlines() if "model refused" not in line] == []
    assert said.getvalue().count("\n") == 1


def at_terminal(arguments: list[str], cwd: Path, **environment: str) -> str:
    """Return what `sparkdl` draws at a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    own = {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
    clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "FORCE_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "console.main", *arguments],
        cwd=cwd,
        env={**clean, **own, **environment},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert process.wait() == 0, shown
    return shown.decode()


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}], ids=str)
def test_a_terminal_of_80_columns_shows_a_bar_with_rate_and_time_left(
    environment: dict[str, str], tmp_path: Path
) -> None:
    shown = at_terminal(["produce", "--data", "samples:2", "--to", "out", "--rate", "40"], tmp_path, **environment)
    lines = [re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", line) for line in re.split(r"[\r\n]+", shown)]
    assert max(map(len, lines)) <= 80
    assert any(re.search(r"sending .* of 20, [\d.]+/s, 0:0\d left", line) for line in lines), shown
    assert bool(COLOUR.search(shown)) is not bool(environment)


def test_the_log_of_a_stream_has_no_colour_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, expected in (("", True), ("1", False)):
        monkeypatch.setenv("NO_COLOR", variable)
        terminal, log = pty.openpty()
        with os.fdopen(log, "w") as there, redirect_stderr(there):
            BatchLog().started("in", "out", Path("c"), "m")
            shown = os.read(terminal, 65536).decode()
        os.close(terminal)
        assert bool(COLOUR.search(shown)) is expected
