"""Promises about words from outside: no command makes a terminal obey them, and JSON holds them as they are."""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import redirect_stderr
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.main import run
from console.output import err
from sparkdl.system.terminal import printable, printable_json
from streaming.monitoring.log import BatchLog

NAME = "a\x1b[2J\x1b]0;title\x07\x9b31m\r\n\u202egnp.exe\u2028[bold]x[/bold]\x7f"
"""Clears the screen, names the window, turns red, writes over its line, and turns its direction."""
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OBEYED = set(map(chr, (*range(0x0A), *range(0x0B, 0x20), *range(0x7F, 0xA0), 0x2028, 0x202E)))


def test_what_a_terminal_obeys_is_shown_as_its_escape() -> None:
    assert printable("a\x1b[2J\x9b\u202e") == r"a\x1b[2J\x9b\u202e"
    assert printable("a\nb\tc", keep="\n") == "a\nb\\x09c"


def test_letters_of_any_script_stay_as_they_are() -> None:
    for words in ("শূন্য", "র‍্য", "ক্‌ষ", "日本", "é", "👍🏽"):
        assert printable(words) == words


@given(st.text(st.characters(codec=None)))
def test_json_holds_the_same_and_no_control_character(words: str) -> None:
    text = printable_json(json.dumps({words: words}, ensure_ascii=False))
    assert json.loads(text) == {words: words}
    assert not OBEYED & set(text)
    text.encode()


@pytest.fixture
def sink(tmp_path: Path) -> Path:
    """A Parquet sink with names as they may come from file names, keys and headers."""
    outside = {"id": NAME, "origin": f"file:/{NAME}", "label": NAME, "produced_at": AT, "batch_id": 0}
    rows = {
        "predictions": {
            "prediction": NAME,
            "confidence": 0.5,
            "probabilities": {NAME: 0.5},
            "needs_review": True,
            "model": NAME,
            "predicted_at": AT,
        },
        "dead_letters": {"reason": NAME, "detail": NAME, "size": 9, "payload": None, "sha256": NAME, "failed_at": AT},
    }
    for part, row in rows.items():
        batch = tmp_path / "sink" / part / "batch=0"
        batch.mkdir(parents=True)
        table = pa.Table.from_pylist([outside | row | {"probabilities": None}])
        if part == "predictions":
            table = table.set_column(
                table.column_names.index("probabilities"),
                "probabilities",
                pa.array([[(NAME, 0.5)]], pa.map_(pa.string(), pa.float64())),
            )
        pq.write_table(table, batch / "part.parquet")
    return tmp_path / "sink"


@pytest.mark.parametrize("form", ["table", "json", "csv"])
@pytest.mark.parametrize("part", [["--dead-letters"], ["--summary"], []], ids=str)
def test_the_reader_of_a_sink_shows_names_and_obeys_none(
    sink: Path, part: list[str], form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predictions", str(sink), *part, "--format", form]) == 0
    out = capsys.readouterr().out
    assert not OBEYED & set(out.replace("\r\n", "\n") if form == "csv" else out)
    assert "[2J" in out
    if form == "json" and part != ["--summary"]:
        assert json.loads(out)["id"] == NAME
    if form == "csv" and not part:
        assert len(out.splitlines()) == 2


def test_what_is_said_of_a_file_is_harmless_too(sink: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predictions", str(sink), "--dead-letters", "--export", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().err
    assert "the bytes of a" in said
    assert not OBEYED & set(said)
    assert len(said.splitlines()) == 2

    assert run(["predictions", f"{tmp_path}/\x1b[2J"]) == 2
    assert not OBEYED & set(capsys.readouterr().err)


def test_no_message_on_the_console_is_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    err.print(NAME, "[bold]")
    said = capsys.readouterr().err
    assert not OBEYED & set(said)
    assert "[bold]" in said


def test_the_log_of_a_stream_obeys_no_name_at_a_terminal_or_in_a_file() -> None:
    terminal, log = os.openpty()
    with os.fdopen(log, "w") as at_terminal, redirect_stderr(at_terminal):
        assert sys.stderr.isatty()
        BatchLog().started(NAME, "console", Path("c"), NAME)
        shown = os.read(terminal, 65536).decode()
    os.close(terminal)
    assert r"a\x1b[2J\x1b]0;title" in shown
    assert not {"\x07", "\x9b", "\u202e"} & set(shown)
    assert "\x1b[2J" not in shown

    in_file = io.StringIO()
    with redirect_stderr(in_file):
        BatchLog().started(NAME, "console", Path("c"), NAME)
    assert json.loads(in_file.getvalue())["model"] == NAME
    assert in_file.getvalue().isascii()
