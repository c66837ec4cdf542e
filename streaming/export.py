"""Gives the bytes of dead letters back as files, so that they can be looked into, mended and sent again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sparkdl.errors import RequestError
from streaming.predictions import Reader, to_json_value
from training.datasets import EXPORT_LIST

_LONGEST = 80  # characters of an id in a file's name


def check_directory(directory: Path) -> None:
    """Makes the directory of an export.

    Raises
    ------
    RequestError
        If it holds something already, or cannot be made.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise RequestError(f"{directory} is not empty: name a new directory")
    except OSError as error:
        raise RequestError(f"{directory} cannot be a directory to write to: {error.strerror}") from error


def export_dead_letters(reader: Reader, directory: Path) -> Iterator[dict[str, Any]]:
    """Writes each dead letter's bytes into `directory`, and gives its row with the name of its `file`.

    The name is a number and what is harmless of the id: an id comes from outside and is never taken as a path. A row
    whose bytes were not kept has no file. `dead-letters.jsonl` lists all rows; it appears when all are written.

    Parameters
    ----------
    directory
        Empty, as `check_directory` leaves it.
    """
    partial = directory / f".{EXPORT_LIST}"
    with partial.open("w", encoding="utf-8") as listed:
        for number, row in enumerate(reader.rows(dead=True)):
            payload, name = row.pop("payload"), None
            if payload is not None or row["size"] == 0:
                name = _name(number, row["id"])
                (directory / name).write_bytes(payload or b"")
            row["file"] = name
            listed.write(json.dumps({key: to_json_value(value) for key, value in row.items()}) + "\n")
            yield row
    partial.replace(directory / EXPORT_LIST)


def _name(number: int, identity: str) -> str:
    return f"{number:06d}-{re.sub(r'[^A-Za-z0-9._-]+', '_', identity)[-_LONGEST:]}"
