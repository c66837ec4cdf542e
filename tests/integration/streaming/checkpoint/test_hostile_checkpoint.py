"""Promises of a checkpoint that somebody else has written to: one line, and nothing outside it is read or removed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sparkdl.errors import RequestError, SparkdlError
from streaming.checkpoint.identity import Fingerprint, check_checkpoint, claim_checkpoint, is_claimed
from streaming.checkpoint.repair import repair_checkpoint
from streaming.checkpoint_files import checked_name
from streaming.sources.directory.cleanup import Cleanup, completed_logs
from streaming.sources.directory.file_log import FileLog

MAX_BYTES = 1000
DEEP = "[" * 100_000
NOT_JSON = [DEEP.encode(), b"\xff\xfe", b"", b"{", b"NaN", b"null", b"7", b'"x"', b"[[[]]]", b"[1]", b"{}", b"\0" * 99]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("watched", "checkpoint/files", "checkpoint/commits", "checkpoint/offsets"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def victim(place: Path) -> Path:
    """A file of this user, outside the watched directory."""
    path = place / "outside" / "victim.png"
    path.parent.mkdir()
    path.write_bytes(b"precious")
    return path


def log_that_names(place: Path, name: str, file: Path) -> FileLog:
    """The progress of a checkpoint whose first log says that `name` was read, with what `file` is like."""
    files, status = place / "checkpoint" / "files", file.stat()
    (files / "done.json").write_text('{"logs": 0, "after": 0, "left": []}')
    (files / "seen.json").write_text('{"logs": 1, "names": [], "absent": {}}')
    (files / "1.json").write_text(json.dumps([[name, status.st_size, status.st_mtime_ns, status.st_ino]]))
    return FileLog(files)


@pytest.mark.parametrize("archive", [False, True], ids=["delete", "archive"])
@pytest.mark.parametrize(
    "form", ["../outside/victim.png", "{}", "a/../../outside/victim.png", "./../outside/victim.png", "//{}"]
)
def test_a_log_that_names_a_file_outside_the_watched_directory_removes_nothing(
    form: str, archive: bool, place: Path, victim: Path
) -> None:
    (place / "watched" / "a").mkdir()
    log = log_that_names(place, form.format(victim), victim)
    cleanup = Cleanup(place / "watched", place / "archive" if archive else None, MAX_BYTES)
    with pytest.raises(SparkdlError, match=r"^the checkpoint is damaged at .*1\.json \('.*' is not the name of a file"):
        cleanup.run(log, 1)
    assert victim.read_bytes() == b"precious"


def test_a_log_that_names_a_file_outside_is_never_read_from(place: Path, victim: Path) -> None:
    log_that_names(place, "../outside/victim.png", victim)
    with pytest.raises(SparkdlError, match=r"the checkpoint is damaged at .*is not the name of a file"):
        FileLog(place / "checkpoint" / "files").read(1)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/a", "a/../b", "a//b", "a/", "./a", ".a", "a/.b", "a\0b", None, 7, ["a"]]
)
def test_what_is_no_name_is_refused(name: object) -> None:
    with pytest.raises(ValueError, match="is not the name of a file"):
        checked_name(name)


@pytest.mark.parametrize("name", ["a", "a/b.png", "a b", "ক.png", "a\\b", "a..b", "..".join("ab"), "\udcff.png", "\n"])
def test_what_a_directory_can_hold_is_taken(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize("content", [*NOT_JSON, b'[["a", 1e999, 1, 1]]', b'[["a", 1, 1]]', b'[["a", "x", 1, 1]]'])
def test_a_log_that_is_none_is_one_line(content: bytes, place: Path) -> None:
    path = place / "checkpoint" / "files" / "1.json"
    path.write_bytes(content)
    with pytest.raises(SparkdlError) as error:
        FileLog(path.parent)
    assert str(error.value).startswith(f"the checkpoint is damaged at {path} (")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["seen.json", "done.json"])
@pytest.mark.parametrize(
    "content",
    [*NOT_JSON, b'{"logs": 1e999, "after": 0, "names": [], "left": [], "absent": {}}', b'{"logs": "' + b"9" * 5000],
)
def test_names_that_are_none_are_one_line(name: str, content: bytes, place: Path) -> None:
    (place / "checkpoint" / "files" / name).write_bytes(content)
    with pytest.raises(SparkdlError, match=rf"^the checkpoint is damaged at .*{name} \(") as error:
        FileLog(place / "checkpoint" / "files")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"v1\n{}\n" + DEEP.encode(), b'v1\n{}\n{"logs": 1e999}', b"v1\n{}\n[]", b"\xff"])
def test_offsets_that_are_none_are_one_line(content: bytes, place: Path) -> None:
    (place / "checkpoint" / "commits" / "0").write_bytes(b"v1\n{}")
    (place / "checkpoint" / "offsets" / "0").write_bytes(content)
    with pytest.raises(SparkdlError, match=r"^the checkpoint is damaged at .*offsets/0 \("):
        completed_logs(place / "checkpoint")


@pytest.mark.parametrize("content", [*NOT_JSON, b'{"id": "../../../outside/victim.png"}', b'{"id": 7}'])
def test_a_mark_that_is_none_is_refused(content: bytes, place: Path) -> None:
    mark = place / "checkpoint" / "sparkdl.json"
    mark.write_bytes(content)
    with pytest.raises(RequestError, match=rf"^--checkpoint: {mark} cannot be read: ") as error:
        check_checkpoint(place / "checkpoint", {})
    assert "\n" not in str(error.value)
    assert not is_claimed(place / "checkpoint", "a" * 32)


def test_a_mark_whose_id_is_a_path_overwrites_nothing(place: Path, victim: Path) -> None:
    (place / "checkpoint" / ".sparkdl.json-..").mkdir()  # so that the path below leads out
    stream: Fingerprint = {"format": 1, "source": str(place / "watched"), "sink": f"parquet:{place / 'out'}"}
    identity = "../../../outside/victim.png"
    theirs = {"format": 1, "id": identity}
    (place / "checkpoint" / "sparkdl.json").write_text(json.dumps(theirs))
    with pytest.raises(RequestError, match="is not a valid id"):
        claim_checkpoint(place / "checkpoint", stream)
    assert victim.read_bytes() == b"precious"


def test_links_at_the_names_of_partial_files_are_not_written_through(place: Path, victim: Path) -> None:
    checkpoint = place / "checkpoint"
    for name in ("commits", "offsets", "files"):
        (checkpoint / name).rmdir()
    identity = claim_checkpoint(checkpoint, {"format": 1})
    (checkpoint / f".sparkdl.json-{identity}").symlink_to(victim)
    assert claim_checkpoint(checkpoint, {"format": 1}) == identity
    (checkpoint / "files").mkdir()
    log = FileLog(checkpoint / "files")
    (checkpoint / "files" / f".1.json.{os.getpid()}").symlink_to(victim)
    log.append([])
    assert victim.read_bytes() == b"precious"
    assert not (checkpoint / "files" / "1.json").is_symlink()


def _link_to_a_directory(path: Path, victim: Path) -> None:
    (victim.parent / "5").write_bytes(b"precious")
    path.rmdir()
    path.symlink_to(victim.parent)


def _link_to_a_file(path: Path, victim: Path) -> None:
    (path / "5").symlink_to(victim)


def _pipe(path: Path, victim: Path) -> None:
    os.mkfifo(path / "5")


@pytest.mark.parametrize("log", ["commits", "offsets", "files"])
@pytest.mark.parametrize("attack", [_link_to_a_directory, _link_to_a_file, _pipe])
def test_links_and_pipes_in_a_checkpoint_are_refused_and_nothing_is_removed_through_them(
    attack: Callable[[Path, Path], None], log: str, place: Path, victim: Path
) -> None:
    attack(place / "checkpoint" / log, victim)
    with pytest.raises(RequestError, match=r"^--checkpoint: .* is (a link|neither a file nor a directory), which no"):
        repair_checkpoint(place / "checkpoint", lambda batch: True, repeats_batches=True)
    assert {path.read_bytes() for path in victim.parent.iterdir()} == {b"precious"}


@pytest.mark.parametrize("name", ["files/seen.json", "files/done.json", "files/1.json", "sparkdl.json"])
def test_a_file_without_an_end_is_given_up(name: str, place: Path) -> None:
    path = place / "checkpoint" / name
    for kind in ("zero", "pipe"):
        path.unlink(missing_ok=True)
        if kind == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to("/dev/zero")
        with pytest.raises(SparkdlError, match=rf"{path}"):
            check_checkpoint(place / "checkpoint", {}) if name == "sparkdl.json" else FileLog(path.parent)


def test_a_file_larger_than_the_limit_is_not_taken_into_memory(place: Path) -> None:
    mark = place / "checkpoint" / "sparkdl.json"
    with mark.open("wb") as file:
        file.truncate(50 << 30)
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from streaming.checkpoint_files import read_entry\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "try:\n"
        "    read_entry(Path(sys.argv[1]))\n"
        "except ValueError as error:\n"
        "    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(mark)], capture_output=True, text=True, check=True)
    assert done.stdout == "it is larger than 64 MiB\n"
