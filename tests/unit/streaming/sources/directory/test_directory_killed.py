"""Promises of the watched directory's progress: wherever the process is killed, no image is lost or read twice.

A process does what Spark and a sink do around the source, and is killed before its first change of a file, its second,
and so on until it gets to its end. After each of these deaths it is started again.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from streaming.schemas import INPUT_RECORD
from streaming.sources.directory.cleanup import Cleanup, completed_logs
from streaming.sources.directory.file_log import FILES, FileLog
from streaming.sources.directory.file_log_state import RETAINED
from streaming.sources.directory.reader import DirectoryDataSource

MAX_BYTES = 100
Images = Counter[tuple[str, int]]
"""Names and sizes."""
CHANGES = {"os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir"}


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def write_whole(path: Path, text: str) -> None:
    put(path.with_name(f".{path.name}"), text.encode())
    path.with_name(f".{path.name}").rename(path)


def stream(world: Path, mode: str, most: int = 2) -> None:
    """What Spark, a sink that is exactly once, and the end of a stream do until all there is has been read."""
    watched, checkpoint, archive = world / "watched", world / "checkpoint", world / "archive"
    offsets, commits = checkpoint / "offsets", checkpoint / "commits"
    options = {
        "path": str(watched),
        "checkpoint": str(checkpoint),
        "maxFilesPerTrigger": str(most),
        "maxBytes": str(MAX_BYTES),
        "parallelism": "1",
        "stableAfter": "0",
        "afterRead": mode,
        "archive": str(archive) if mode == "archive" else "",
    }
    reader = DirectoryDataSource(options).streamReader(INPUT_RECORD)
    last = max((int(path.name) for path in commits.glob("[0-9]*")), default=-1)
    start = offset_in(offsets / str(last)) if last >= 0 else reader.initialOffset()
    for batch in itertools.count(last + 1):
        if (offsets / str(batch)).exists():
            end = offset_in(offsets / str(batch))
        elif (end := reader.latestOffset(start, reader.getDefaultReadLimit())) == start:
            break
        else:
            write_whole(offsets / str(batch), f"v1\n{{}}\n{json.dumps(end)}")
        parts = [part for partition in reader.partitions(start, end) for part in reader.read(partition)]
        rows = [(row["id"], row["size"]) for part in parts for row in part.to_pylist()]
        write_whole(world / "sink" / str(batch), json.dumps(rows))
        write_whole(commits / str(batch), "v1\n{}")
        start = end
    if mode != "keep":
        cleanup = Cleanup(watched, archive if mode == "archive" else None, MAX_BYTES)
        cleanup.run(FileLog(checkpoint / FILES), completed_logs(checkpoint))


def offset_in(note: Path) -> dict[str, int]:
    offset: dict[str, int] = json.loads(note.read_text().splitlines()[-1])
    return offset


def is_killed(action: Callable[[], None], before: int) -> bool:
    """Whether a process that does `action` gets to its change of a file number `before`, where it dies."""
    child = os.fork()
    if child == 0:
        changes = itertools.count(1)

        def watch(event: str, arguments: tuple[Any, ...]) -> None:
            writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if (writes or event in CHANGES) and next(changes) == before:
                os._exit(9)

        sys.addaudithook(watch)
        code = 1
        try:
            action()
            code = 0
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9)
    return code == 9


def drop(world: Path, files: Images) -> None:
    for name, size in files:
        put(world / "watched" / name, bytes(size))


def in_sink(world: Path) -> Images:
    return Counter(
        (name, size) for path in (world / "sink").glob("[0-9]*") for name, size in json.loads(path.read_text())
    )


def first_run(world: Path, mode: str) -> Images:
    """A stream on which one micro-batch is missing until names are written down again and logs removed.

    What has no part in that is left away, so that it need not be copied each time.
    """
    first = Counter({(f"{number:03d}.png", 1): 1 for number in range(2 * RETAINED - 3)})
    first += Counter([("a/a.png", 2), ("long.png", MAX_BYTES + 1)])
    drop(world, first)
    stream(world, mode, most=1)
    assert in_sink(world) == first
    shutil.rmtree(world / "sink")
    for number in range(1, RETAINED - 2):  # the snapshot has their names
        (world / "checkpoint" / FILES / f"{number}.json").unlink(missing_ok=True)
    for path in (*world.glob("*/0[1-9]*.png"), *world.glob("*/1*.png")):
        path.unlink()
        del first[path.name, 1]
    return first


@pytest.mark.parametrize("mode", ["keep", "archive", "delete"])
def test_each_image_is_read_once_wherever_the_process_is_killed(tmp_path: Path, mode: str) -> None:
    base, world = tmp_path / "base", tmp_path / "world"
    first = first_run(base, mode)
    then = Counter([("a/new.png", 3), ("b/new.png", 4), ("long-2.png", MAX_BYTES + 2), ("new.png", 5)])
    if mode != "keep":
        then += Counter([("000.png", 6), ("a/a.png", 7)])  # names of files that were removed
    drop(base, then)
    for before in itertools.count(1):
        shutil.copytree(base, world, copy_function=os.link)  # no file is changed in its place
        killed = is_killed(partial(stream, world, mode), before)
        stream(world, mode)
        stream(world, mode)  # which has nothing left to do
        assert in_sink(world) == then, f"killed before change {before}"
        check_files(world, mode, first + then)
        shutil.rmtree(world)
        if not killed:
            break
    assert before > 25


def check_files(world: Path, mode: str, everything: Images) -> None:
    """Each file that was read lies where it should; the progress has its bound and no rests."""

    def sizes(directory: Path) -> list[int]:
        return sorted(path.stat().st_size for path in directory.rglob("*") if path.is_file())

    every = sorted(size for _, size in everything.elements())
    here, there = {
        "keep": (every, []),
        "archive": ([], every),
        "delete": ([size for size in every if size > MAX_BYTES], []),
    }[mode]
    assert sizes(world / "watched") == here
    assert sizes(world / "archive") == there
    assert json.loads((world / "checkpoint" / FILES / "seen.json").read_text())["logs"] == 2 * RETAINED
    progress = [path.name for path in (world / "checkpoint" / FILES).iterdir()]
    assert len(progress) <= RETAINED + 10
    assert not [name for name in progress if name.startswith(".")]
