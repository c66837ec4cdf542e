"""Output of the commands: data on stdout, messages on stderr."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sparkdl.system.terminal import printable, printable_json

if TYPE_CHECKING:
    from sparkdl.system.left_out import LeftOut
    from training.data.dataset import Dataset


class _SanitizingConsole(Console):
    """Console that escapes control characters: names come from outside."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text, keep="\n"), **options)


out = _SanitizingConsole(highlight=False, markup=False)
err = _SanitizingConsole(stderr=True, highlight=False, markup=False)

_MAX_PROBLEMS = 5  # lines of one kind


def set_quiet(quiet: bool) -> None:
    """Choose whether messages are left out, so that only the result and errors are printed."""
    err.quiet = quiet


def shows_progress() -> bool:
    """Whether progress is drawn: at a terminal, unless messages are left out."""
    return err.is_terminal and not err.quiet


def complain(text: str, keep: str = "") -> None:
    """Print an error on stderr, also where messages are left out; `keep` is as in `printable`."""
    print(printable(text, keep), file=sys.stderr)


class Format(StrEnum):
    """Output format of rows."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def print_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], form: Format, title: str = "") -> None:
    """Print rows: `columns` as a table or as CSV, or every column as JSON lines."""
    if form is Format.JSON:
        for row in rows:
            sys.stdout.write(printable_json(json.dumps(row, default=_to_json, ensure_ascii=False)) + "\n")
            sys.stdout.flush()
    elif form is Format.CSV:
        writer = csv.writer(sys.stdout)
        writer.writerow(columns)
        for row in rows:
            writer.writerow([printable(to_text(row.get(name))) for name in columns])
            sys.stdout.flush()
    else:
        table = Table(*columns, title=title or None, title_justify="left")
        for row in rows:
            table.add_row(*(printable(to_text(row.get(name))) for name in columns))
        out.print(table)


def print_json(value: Any) -> None:
    """Print one JSON document."""
    sys.stdout.write(printable_json(json.dumps(value, indent=2, ensure_ascii=False, default=_to_json)) + "\n")


def _to_json(value: Any) -> Any:
    from streaming.readers.base import to_json_value

    return to_json_value(value)


def to_text(value: Any) -> str:
    """Format a row's value for people."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return str(value)


def print_reading(dataset: Dataset) -> None:
    """Print how a dataset was read on stderr: what was left out, and what cannot be used."""
    for note in dataset.notes:
        err.print(printable(note), soft_wrap=True)
    print_left_out(dataset.left_out)
    print_problems(dataset.problems)


def print_left_out(left_out: LeftOut) -> None:
    """Print on stderr what was left out, if anything was."""
    if left_out:
        err.print(printable(str(left_out)), soft_wrap=True)


def print_problems(problems: Sequence[str], kind: str = "left out") -> None:
    """Print the first few lines about images on stderr, and their total number."""
    for problem in problems[:_MAX_PROBLEMS]:
        err.print(printable(f"{kind}: {problem}"), soft_wrap=True)
    if len(problems) > _MAX_PROBLEMS:
        err.print(f"{kind}: {len(problems)} in all, the first {_MAX_PROBLEMS} above")
