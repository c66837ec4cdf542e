"""Export of dead letters as files that can be examined, repaired and sent again."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.images.rejection import DEAD_LETTER_LIST
from sparkdl.system.ownership import writable_by_others
from streaming.readers.base import Reader, to_json_value

_MAX_ID = 80  # characters of an id in a file name
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def export_directory(directory: Path) -> Iterator[int]:
    """Open the directory of an export for the duration of a `with` block; create it if it is missing.

    The exported bytes are untrusted, so no other user may control where they are written, by links or by files with the
    expected names. The checks use the same descriptor that the files are created with.

    Yields
    ------
    The descriptor of the directory.

    Raises
    ------
    RequestError
        If it cannot be created, is a link or not empty, belongs to another user, or is writable by others.
    """
    try:
        _check_links(directory)
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=0o755, exist_ok=True)
        opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if directory.is_symlink():
            raise RequestError(f"{directory} is a link, which is not followed: name a new directory") from error
        raise RequestError(
            f"{directory} cannot be created or opened: {error.strerror}; name another directory"
        ) from error
    try:
        if fault := writable_by_others(os.fstat(opened)):
            raise RequestError(f"{directory} {fault}: name a new directory")
        if os.listdir(opened):  # noqa: PTH208 - of a descriptor
            raise RequestError(f"{directory} is not empty: name a new directory")
        yield opened
    finally:
        os.close(opened)


def _check_links(directory: Path) -> None:
    """Refuse a path through a link of another user, who controls where it leads."""
    for part in directory.absolute().parents:
        if part.is_symlink() and part.lstat().st_uid not in {0, os.geteuid()}:
            raise RequestError(f"{part} is a link of another user, which is not followed: name a new directory")


def export_dead_letters(reader: Reader, directory: int) -> Iterator[dict[str, Any]]:
    """Write the bytes of each dead letter into a directory, and yield its row with the name of its `file`.

    The name is a number and the sanitized id: an id is untrusted and never used as a path. A row whose bytes were not
    kept has no file. `dead-letters.jsonl` lists all rows; it appears when all are written.

    Parameters
    ----------
    directory
        The descriptor from `export_directory`.

    Raises
    ------
    SparkdlError
        If a row cannot be read, or a file cannot be written.
    """
    partial = f".{DEAD_LETTER_LIST}"
    try:
        with os.fdopen(_new_file(partial, directory), "w", encoding="utf-8") as listed:
            for number, row in enumerate(reader.rows(dead=True)):
                payload, name = row.pop("payload"), None
                if payload is not None or row["size"] == 0:
                    name = _name(number, row["id"])
                    with os.fdopen(_new_file(name, directory), "wb") as file:
                        file.write(payload or b"")
                row["file"] = name
                listed.write(json.dumps({key: to_json_value(value) for key, value in row.items()}) + "\n")
                yield row
        os.rename(partial, DEAD_LETTER_LIST, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError as error:
        raise SparkdlError(f"the export failed: {error.strerror or error}") from error


def _new_file(name: str, directory: int) -> int:
    return os.open(name, _NEW_FILE, 0o666, dir_fd=directory)


def _name(number: int, identity: str) -> str:
    return f"{number:06d}-{re.sub(r'[^A-Za-z0-9._-]+', '_', identity)[-_MAX_ID:]}"
