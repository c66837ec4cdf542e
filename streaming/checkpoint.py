"""A checkpoint's fingerprint: which stream it belongs to, so that no other is started on it."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

from sparkdl.errors import RequestError
from streaming.settings import StreamSettings
from streaming.sinks import sink_identity
from streaming.sources import source_identity

FORMAT = 1
_FILE = "sparkdl.json"
_PROGRESS = ("files", "offsets")


def check_checkpoint(settings: StreamSettings) -> str | None:
    """The id of the checkpoint directory, None if it is new.

    Raises
    ------
    RequestError
        If the checkpoint is another stream's, naming both sides, or is no directory of ours.
    """
    directory = settings.checkpoint
    mark = directory / _FILE
    if directory.exists() and not directory.is_dir():
        raise RequestError(f"--checkpoint: expected a directory, received the file {directory}")
    if not mark.is_file():
        if directory.is_dir() and any(not path.name.startswith(".") for path in directory.iterdir()):
            raise RequestError(f"--checkpoint: {directory} holds something else than a checkpoint of this program")
        return None
    try:
        theirs = json.loads(mark.read_text())
        identity = str(theirs["id"])
    except (ValueError, KeyError, TypeError) as error:
        raise RequestError(f"--checkpoint: {mark} cannot be read: {error}") from error
    if not any((directory / name).exists() for name in _PROGRESS):
        return identity  # claimed by a stream that never started, so that it may become another's
    for key, ours in _fingerprint(settings).items():
        if theirs.get(key) != ours:
            raise RequestError(
                f"checkpoint {directory} belongs to another stream: its {key} is {theirs.get(key)}, "
                f"this one's is {ours}; use its own settings, or another checkpoint"
            )
    return identity


def claim_checkpoint(settings: StreamSettings) -> str:
    """The id of the checkpoint directory, which is made if it is new, and marked as this stream's."""
    identity = check_checkpoint(settings) or uuid4().hex
    partial = settings.checkpoint / f".{_FILE}-{identity}"
    try:
        settings.checkpoint.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps({**_fingerprint(settings), "id": identity}, indent=2) + "\n")
        partial.replace(settings.checkpoint / _FILE)
    except OSError as error:
        raise RequestError(f"--checkpoint: {settings.checkpoint} cannot be written: {error.strerror}") from error
    return identity


def is_claimed(directory: Path, identity: str) -> bool:
    """Whether the checkpoint `identity` is (still) in `directory`."""
    try:
        return bool(json.loads((directory / _FILE).read_text())["id"] == identity)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _fingerprint(settings: StreamSettings) -> dict[str, str | int]:
    return {"format": FORMAT, "source": source_identity(settings), "sink": sink_identity(settings)}
