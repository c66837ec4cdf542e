"""Output of the commands: data on stdout, messages and progress on stderr."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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


@contextmanager
def working(message: str) -> Iterator[None]:
    """Show that a long step is running: a spinner at a terminal, one line elsewhere."""
    if err.is_terminal:
        with err.status(Text(printable(message))):
            yield
    else:
        err.print(message)
        yield


@contextmanager
def progressing() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function that shows progress: a bar with the time left at a terminal, one line per step elsewhere."""
    if not err.is_terminal:
        said: list[str] = []

        def tell_line(what: str, done: int, of: int) -> None:
            step = what.partition(",")[0]
            if step not in said[-1:] or done == of > 0:
                said.append(step)
                err.print(printable(f"{what}: {done} of {of}" if of else what))

        yield tell_line
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as bars:
        task = bars.add_task("training", total=None)
        steps: list[str] = []

        def tell_bar(what: str, done: int, of: int) -> None:
            step = what.partition(",")[0]
            if step not in steps[-1:]:
                steps.append(step)
                bars.reset(task)
            bars.update(task, description=printable(what), completed=done, total=of or None)

        yield tell_bar


@contextmanager
def fetching(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a download of jars, if there is one: a bar at a terminal, one line elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn(f"fetching {what}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=err, disable=not err.is_terminal)
    task = bar.add_task("fetching")
    begun = False

    def note(done: int, total: int) -> None:
        nonlocal begun
        if not begun:
            bar.start()
            if bar.disable:
                err.print(f"fetching {what}, once")
        begun = True
        bar.update(task, completed=done, total=total)
        if done == total:
            bar.stop()

    try:
        yield note
    finally:
        bar.stop()


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
