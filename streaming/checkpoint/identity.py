"""The identity of a checkpoint: the stream that it belongs to, so that no other stream uses it."""

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
"""The stream that a checkpoint belongs to: its format, source and sink."""


def fingerprint(source: Source, sink: Sink) -> Fingerprint:
    """Return the fingerprint of a stream; for Kafka this asks the brokers."""
    return {"format": FORMAT, "source": source.identity(), "sink": sink.identity()}


def check_checkpoint(directory: Path, stream: Fingerprint) -> str | None:
    """Return the id of a checkpoint; None if it is new.

    Parameters
    ----------
    directory
        The checkpoint.
    stream
        The stream that it must belong to.

    Raises
    ------
    RequestError
        If the checkpoint belongs to another stream (the message names both), or the directory is not a checkpoint.
    """
    mark = directory / _FILE
    if directory.exists() and not directory.is_dir():
        raise RequestError(f"--checkpoint: expected a directory, received the file {directory}")
    if not os.path.lexists(mark):
        if directory.is_dir() and any(not path.name.startswith(".") for path in directory.iterdir()):
            raise RequestError(f"--checkpoint: {directory} holds something else: name a new or empty directory")
        return None
    try:
        theirs = parse(read_entry(mark))
        identity = str(theirs["id"])
        if not _IDENTITY.fullmatch(identity):  # it becomes part of file names
            raise ValueError(f"{identity[:100]!r} is not a valid id")
    except FAULTS as error:
        raise RequestError(
            f"--checkpoint: {mark} cannot be read: {error}; restore it, or use a new checkpoint and a new sink"
        ) from error
    if not any((directory / name).exists() for name in _PROGRESS):
        return identity  # claimed by a stream that never started, so another may have it
    for key, ours in stream.items():
        if theirs.get(key) != ours:
            raise RequestError(
                f"checkpoint {directory} belongs to another stream: its {key} is {theirs.get(key)}, "
                f"this one's is {ours}; use its settings, or another checkpoint"
            )
    return identity


def claim_checkpoint(directory: Path, stream: Fingerprint) -> str:
    """Create a checkpoint if it is missing, mark it as this stream's and return its id.

    Raises
    ------
    RequestError
        As in `check_checkpoint`, or if the checkpoint cannot be written.
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
    """Whether `directory` still holds the checkpoint with this id."""
    try:
        return bool(parse(read_entry(directory / _FILE))["id"] == identity)
    except FAULTS:
        return False
