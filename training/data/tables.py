"""Tables of labels: CSV, TSV and JSON lines files, and their columns."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from sparkdl.errors import RequestError

SUFFIXES = frozenset({".csv", ".tsv", ".jsonl", ".ndjson"})
"""Suffixes of tables, in lower case."""
MAX_BYTES = 1 << 30
"""Maximum size of a table."""

IMAGE_COLUMNS = (
    *("file", "filename", "file_name", "filepath", "file_path", "path", "image_path", "img_path"),
    *("image", "image_file", "image_filename", "image_name", "img", "img_name", "image_id", "id"),
)
"""Names of the column of files, in order of preference; in lower case, with `_` for spaces and hyphens."""
LABEL_COLUMNS = ("label", "class", "class_name", "label_name", "category", "digit", "target", "species", "breed")
"""Names of the column of labels; if a table has several of them, the user must choose one."""
SUBSET_COLUMNS = ("split", "subset")
"""Names of the column of subsets, if a table has one."""

_JSON = frozenset({".jsonl", ".ndjson"})
_DELIMITERS = ",;\t|"
_LISTED = 12  # maximum columns in an error message
_MAX_LINE = 1 << 20  # characters of a line of JSON


@dataclass(frozen=True)
class Table:
    """A table and the names of its columns, as written in the file."""

    path: Path
    columns: tuple[str, ...]

    def rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield each row with its line number. A value that is missing, or neither text nor a number, is "".

        Raises
        ------
        RequestError
            If the table cannot be read to its end.
        """
        with _opened(self.path) as file:
            yield from _json_rows(file) if _is_json(self.path) else _csv_rows(file, self.path)


def is_table(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES


def open_table(path: Path) -> Table:
    """Return a table with its columns: the first line of a CSV file, or the keys of the first JSON object.

    Raises
    ------
    RequestError
        If it cannot be read, or is not a table in the format of its suffix.
    """
    with _opened(path) as file:
        if _is_json(path):
            columns = tuple(next(_json_rows(file), (0, {}))[1])
        else:
            columns = tuple((column or "").strip() for column in _csv_reader(file, path).fieldnames or ())
    if not any(columns):
        raise RequestError(f"{path.name}: no columns: expected their names in the first line")
    return Table(path, columns)


def image_column(table: Table, given: str | None) -> str:
    """Return the column of files.

    Raises
    ------
    RequestError
        If there is none.
    """
    found = _choose(table, given, IMAGE_COLUMNS, "--image-column")
    if not found:
        raise RequestError(_missing(table, "the image", "--image-column"))
    return found[0]


def label_column(table: Table, given: str | None, *, required: bool = True) -> str | None:
    """Return the column of labels; without `required`, None if there is none.

    Raises
    ------
    RequestError
        If there is none, or there are several candidates.
    """
    found = _choose(table, given, LABEL_COLUMNS, "--label-column")
    if not found:
        if not required:
            return None
        raise RequestError(_missing(table, "the label", "--label-column"))
    if len(found) > 1:
        either = " or ".join(f"--label-column {column}" for column in found)
        raise RequestError(f"{table.path.name}: {len(found)} columns could be the label: type {either}")
    return found[0]


def subset_column(table: Table) -> str | None:
    """Return the column of subsets, None if there is none."""
    return next(iter(_choose(table, None, SUBSET_COLUMNS, "")), None)


def is_recognised(table: Table) -> bool:
    """Whether the columns of files and labels are found by their names."""
    return all(_choose(table, None, names, "") for names in (IMAGE_COLUMNS, LABEL_COLUMNS))


def _choose(table: Table, given: str | None, names: Sequence[str], flag: str) -> list[str]:
    """Return the candidate columns, those with the most common name first.

    Raises
    ------
    RequestError
        If the given column is missing, or occurs twice.
    """
    if given is not None:
        same = [column for column in table.columns if column == given]
        same = same or [column for column in table.columns if _folded(column) == _folded(given)]
        if not same:
            raise RequestError(f"{table.path.name}: no column {given!r} for {flag}: it has {_listed(table)}")
    else:
        same = [column for name in names for column in table.columns if _folded(column) == name]
    if twice := [column for column, count in Counter(same).items() if count > 1]:
        raise RequestError(f"{table.path.name}: more than one column {twice[0]!r}: rename one of them")
    return same


def _missing(table: Table, what: str, flag: str) -> str:
    return (
        f"{table.path.name}: no column is known for {what} among {_listed(table)}: name one with {flag} "
        "(or type --layout classes if the folders are the classes)"
    )


def _listed(table: Table) -> str:
    return ", ".join(column[:40] for column in table.columns[:_LISTED]) + (", ..." * (len(table.columns) > _LISTED))


def _folded(column: str) -> str:
    return column.strip().lower().replace(" ", "_").replace("-", "_")


def _is_json(path: Path) -> bool:
    return path.suffix.lower() in _JSON


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            raise RequestError(f"{path.name}: expected a file of at most {MAX_BYTES >> 20} MiB")
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield file
    except UnicodeDecodeError as error:
        raise RequestError(f"{path.name}: expected text in UTF-8: save it as such") from error
    except (csv.Error, ValueError, RecursionError) as error:
        raise RequestError(f"{path.name} cannot be read to its end: {error}") from error
    except OSError as error:
        raise RequestError(f"{path.name} cannot be read: {error.strerror}") from error


def _csv_reader(file: TextIO, path: Path) -> csv.DictReader[str]:
    if path.suffix.lower() == ".tsv":
        delimiter = "\t"
    else:
        head = file.readline(_MAX_LINE)
        file.seek(0)
        delimiter = max(_DELIMITERS, key=head.count)
    return csv.DictReader(file, delimiter=delimiter, strict=True)


def _csv_rows(file: TextIO, path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    reader = _csv_reader(file, path)
    reader.fieldnames = [(column or "").strip() for column in reader.fieldnames or ()]
    for row in reader:
        if None in row:
            raise ValueError(f"line {reader.line_num} has more fields than there are columns")
        yield reader.line_num, {column: (value or "").strip() for column, value in row.items()}


def _json_rows(file: TextIO) -> Iterator[tuple[int, dict[str, str]]]:
    number = 0
    while line := file.readline(_MAX_LINE):
        number += 1
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"line {number} is not a JSON object on one line") from error
        if not isinstance(row, dict):
            raise ValueError(f"line {number} is not a JSON object")
        yield number, {key.strip(): _text(value) for key, value in row.items()}


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return str(value).lower() if isinstance(value, bool) else ""
    return str(value).strip()
