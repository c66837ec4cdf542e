"""The identity of a checkpoint: which stream it belongs to, so that no other is started on it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from uuid import uuid4

from sparkdl.errors import RequestError
from sparkdl.system.files import write_atomically
from streaming.checkpoint_files import FAULTS, parse, read_entry
from streaming.sinks.base import Sink
from streaming.sources.base import Source

FORMAT = 1
_FILE = "sparkdl.json"
_IDENTITY = re.compile(r"[0-9a-f]{32}")
_PROGRESS = ("files", "offsets")

Fingerprint = dict[str, str | int]
"""What a checkpoint belongs to: the format, the source and the sink."""


def fingerprint(source: Source, sink: Sink) -> Fingerprint:
    """Return the fingerprint of a stream. A Kafka source or sink asks its brokers."""
    return {"format": FORMAT, "source": source.identity(), "sink": sink.identity()}


def check_checkpoint(directory: Path, stream: Fingerprint) -> str | None:
    """Return the id of a checkpoint, None if it is new.

    Parameters
    ----------
    directory
        The checkpoint.
    stream
        What it must belong to.

    Raises
    ------
    RequestError
        If the checkpoint is another stream's, naming both sides, or is no directory of ours.
    """
    mark = directory / _FILE
    if directory.exists() and not directory.is_dir():
        raise RequestError(f"--checkpoint: expected a directory, received the file {directory}")
    if not os.path.lexists(mark):
        if directory.is_dir() and any(not path.name.startswith(".") for path in directory.iterdir()):
            raise RequestError(f"--checkpoint: {directory} holds something else than a checkpoint of this program")
        return None
    try:
        theirs = parse(read_entry(mark))
        identity = str(theirs["id"])
        if not _IDENTITY.fullmatch(identity):  # it becomes part of names
            raise ValueError(f"{identity[:100]!r} is no id of a checkpoint")
    except FAULTS as error:
        raise RequestError(f"--checkpoint: {mark} cannot be read: {error}") from error
    if not any((directory / name).exists() for name in _PROGRESS):
        return identity  # claimed by a stream that never started, so that it may become another's
    for key, ours in stream.items():
        if theirs.get(key) != ours:
            raise RequestError(
                f"checkpoint {directory} belongs to another stream: its {key} is {theirs.get(key)}, "
                f"this one's is {ours}; use its own settings, or another checkpoint"
            )
    return identity


def claim_checkpoint(directory: Path, stream: Fingerprint) -> str:
    """Return the id of a checkpoint, which is created if it is missing, and marked as this stream's.

    Raises
    ------
    RequestError
        As `check_checkpoint` does, or if it cannot be written.
    """
    identity = check_checkpoint(directory, stream) or uuid4().hex
    try:
        directory.mkdir(parents=True, exist_ok=True)
        content = json.dumps({**stream, "id": identity}, indent=2) + "\n"
        write_atomically(directory / _FILE, content, partial=f".{_FILE}-{identity}", sync=True)
    except OSError as error:
        raise RequestError(f"--checkpoint: {directory} cannot be written: {error.strerror}") from error
    return identity


def is_claimed(directory: Path, identity: str) -> bool:
    """Whether the checkpoint `identity` is (still) in `directory`."""
    try:
        return bool(parse(read_entry(directory / _FILE))["id"] == identity)
    except FAULTS:
        return False
