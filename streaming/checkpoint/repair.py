"""Repair of a checkpoint whose last entries were truncated by a power failure.

Spark writes each entry under another name and renames it, so a killed process truncates none. But Spark does not flush
entries to the disk, and refuses to start on a truncated one, although the stream does not need it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from sparkdl.errors import RequestError
from sparkdl.system.files import write_atomically
from streaming.checkpoint_files import check_tree, parse, read_entry

_OFFSETS, _COMMITS, _METADATA = "offsets", "commits", "metadata"


def repair_checkpoint(checkpoint: Path, is_complete: Callable[[int], bool], *, repeats_batches: bool) -> list[Path]:
    """Remove truncated entries at the end of Spark's logs, replace truncated metadata, and return the affected files.

    Without its commit a micro-batch is repeated, which every sink supports. Without its offsets it is planned again.
    That is safe if the new plan is the same, or if the sink does not have the micro-batch yet.

    Parameters
    ----------
    checkpoint
        The checkpoint of a stream that is not running.
    is_complete
        Returns whether the sink already has a micro-batch.
    repeats_batches
        As in `streaming.sources.base.Source`.

    Raises
    ------
    RequestError
        If the repair could lose images, or the checkpoint holds a link, a pipe or a device.
    """
    if checkpoint.is_dir():
        check_tree(checkpoint)
    removed: list[Path] = []
    for log in (_COMMITS, _OFFSETS):
        last = max(_entries(checkpoint / log), default=None)
        if last is None or _is_whole(_content(checkpoint / log / str(last))):
            continue
        path = checkpoint / log / str(last)
        committed = (checkpoint / _COMMITS / str(last)).is_file() and checkpoint / _COMMITS / str(last) not in removed
        if log == _OFFSETS and (committed or (is_complete(last) and not repeats_batches)):
            raise RequestError(
                f"--checkpoint: {path} was cut in the middle of a write, and micro-batch {last} is in the sink: "
                "restore the file from a copy, or use a new checkpoint and a new sink"
            )
        removed.append(path)
    for path in removed:
        path.with_name(f".{path.name}.crc").unlink(missing_ok=True)
        path.unlink()
    metadata = checkpoint / _METADATA
    if metadata.is_file() and not _is_json(_content(metadata)):
        metadata.with_name(f".{_METADATA}.crc").unlink(missing_ok=True)
        # The id of the query; this program does not depend on it.
        write_atomically(metadata, json.dumps({"id": str(uuid4())}), partial=f".{_METADATA}.new", sync=True)
        removed.append(metadata)
    return removed


def _entries(log: Path) -> list[int]:
    return [int(path.name) for path in log.glob("[0-9]*") if path.name.isdecimal()] if log.is_dir() else []


def _content(path: Path) -> bytes:
    try:
        return read_entry(path)
    except (OSError, ValueError) as error:
        raise RequestError(f"--checkpoint: {path} cannot be read: {error}") from error


def _is_whole(content: bytes) -> bool:
    """Whether `content` is a complete entry of Spark: a version line, then lines of JSON or "-"."""
    version, _, rest = content.partition(b"\n")
    return version.startswith(b"v") and bool(rest) and all(line == b"-" or _is_json(line) for line in rest.splitlines())


def _is_json(content: bytes) -> bool:
    try:
        parse(content)
    except ValueError:
        return False
    return True
