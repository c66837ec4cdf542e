"""Promises of `streaming.checkpoint.identity`: a checkpoint serves the stream that made it, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparkdl.errors import RequestError
from streaming.checkpoint.identity import Fingerprint, check_checkpoint, claim_checkpoint, fingerprint
from streaming.sinks.factory import parse_sink
from streaming.sources.factory import parse_source


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stream(checkpoint: str = "checkpoint", source: str = "in", sink: str = "parquet:out") -> tuple[Path, Fingerprint]:
    return Path(checkpoint), fingerprint(parse_source(source), parse_sink(sink))


def start(of: tuple[Path, Fingerprint]) -> str:
    """Claim the checkpoint and leave what a started stream does."""
    identity = claim_checkpoint(*of)
    (of[0] / "offsets").mkdir()
    return identity


def refusal(of: tuple[Path, Fingerprint]) -> str:
    """What is said, in one line, and by the check as by the claim."""
    with pytest.raises(RequestError) as claimed:
        claim_checkpoint(*of)
    with pytest.raises(RequestError) as checked:
        check_checkpoint(*of)
    assert str(claimed.value) == str(checked.value)
    assert "\n" not in str(checked.value)
    return str(checked.value)


def test_a_new_checkpoint_gets_an_id_when_it_is_claimed_and_keeps_it(working_directory: Path) -> None:
    assert check_checkpoint(*stream("deep/checkpoint")) is None
    assert not (working_directory / "deep").exists()
    identity = claim_checkpoint(*stream("deep/checkpoint"))
    assert check_checkpoint(*stream("deep/checkpoint")) == identity
    assert claim_checkpoint(*stream("deep/checkpoint")) == identity


def test_two_checkpoints_have_different_ids() -> None:
    assert claim_checkpoint(*stream("one")) != claim_checkpoint(*stream("two"))


def test_the_same_places_in_other_words_are_the_same_stream(working_directory: Path) -> None:
    (working_directory / "in").mkdir()
    (working_directory / "link").symlink_to(working_directory / "in")
    identity = start(stream())
    for source in ("./in/", str(working_directory / "in"), "in/../in", "link"):
        assert check_checkpoint(*stream(source=source)) == identity
    for sink in ("out", "parquet:./out", str(working_directory / "out")):
        assert check_checkpoint(*stream(sink=sink)) == identity


def test_a_sink_on_another_file_system_is_the_same_from_any_working_directory(
    working_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = "parquet:hdfs://namenode:9000/out"
    there = str(working_directory / "checkpoint")
    identity = start(stream(there, str(working_directory / "in"), sink))
    (working_directory / "elsewhere").mkdir()
    monkeypatch.chdir(working_directory / "elsewhere")
    assert check_checkpoint(*stream(there, str(working_directory / "in"), f"{sink}/")) == identity


def test_another_source_is_refused_with_both_sides_named(working_directory: Path) -> None:
    start(stream())
    words = refusal(stream(source="other"))
    assert f"its source is {working_directory / 'in'}, this one's is {working_directory / 'other'}" in words


def test_another_sink_is_refused_with_both_sides_named(working_directory: Path) -> None:
    start(stream())
    words = refusal(stream(sink="console"))
    assert f"its sink is parquet:{working_directory / 'out'}, this one's is console" in words


def test_a_stream_that_never_started_leaves_the_checkpoint_to_another() -> None:
    identity = claim_checkpoint(*stream(sink="mistyped"))
    assert start(stream(sink="right")) == identity
    assert "its sink is" in refusal(stream(sink="mistyped"))


def test_a_checkpoint_of_another_format_is_refused(working_directory: Path) -> None:
    start(stream())
    mark = working_directory / "checkpoint" / "sparkdl.json"
    mark.write_text(mark.read_text().replace('"format": 1', '"format": 99'))
    assert "its format is 99, this one's is 1" in refusal(stream())


def test_a_directory_of_something_else_is_refused_and_left_alone(working_directory: Path) -> None:
    (working_directory / "photos").mkdir()
    (working_directory / "photos" / "a.png").write_bytes(b"x")
    assert "photos holds something else" in refusal(stream("photos"))
    assert [path.name for path in (working_directory / "photos").iterdir()] == ["a.png"]


def test_an_empty_directory_becomes_a_checkpoint(working_directory: Path) -> None:
    (working_directory / "checkpoint").mkdir()
    assert claim_checkpoint(*stream())


def test_a_file_is_no_checkpoint(working_directory: Path) -> None:
    (working_directory / "checkpoint").write_text("")
    assert refusal(stream()) == "--checkpoint: expected a directory, received the file checkpoint"


def test_a_place_where_no_directory_can_be_made_is_refused(working_directory: Path) -> None:
    (working_directory / "file").write_text("")
    with pytest.raises(RequestError, match="--checkpoint: file/checkpoint cannot be written: Not a directory"):
        claim_checkpoint(*stream("file/checkpoint"))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"text"', b"{}", b"\xff"])
def test_a_mark_that_cannot_be_read_is_refused_by_name(working_directory: Path, content: bytes) -> None:
    (working_directory / "checkpoint").mkdir()
    (working_directory / "checkpoint" / "sparkdl.json").write_bytes(content)
    assert "checkpoint/sparkdl.json cannot be read" in refusal(stream())


def test_a_mark_that_was_cut_off_while_it_was_written_does_not_count(working_directory: Path) -> None:
    (working_directory / "checkpoint").mkdir()
    (working_directory / "checkpoint" / ".sparkdl.json-0123").write_text('{"form')
    assert claim_checkpoint(*stream())
