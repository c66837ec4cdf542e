"""What the commands print: data on stdout, words and progress on stderr."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sparkdl.system.terminal import printable, printable_json

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from streaming.spark_conf import Connector


class _HarmlessConsole(Console):
    """A console that shows what a terminal would obey: names come from outside."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text, keep="\n"), **options)


out = _HarmlessConsole(highlight=False, markup=False)
err = _HarmlessConsole(stderr=True, highlight=False, markup=False)

_PROBLEMS = 5  # lines of a kind
KafkaConfig = Annotated[
    Path | None, typer.Option(help="A properties file as Kafka's own tools take it, for TLS and logins.")
]


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def print_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], form: Format, title: str = "") -> None:
    """Prints rows: a table of `columns`, or all there is as JSON lines, or `columns` as CSV."""
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
    """Prints one JSON document."""
    sys.stdout.write(printable_json(json.dumps(value, indent=2, ensure_ascii=False, default=_to_json)) + "\n")


def _to_json(value: Any) -> Any:
    from streaming.readers.base import to_json_value

    return to_json_value(value)


def to_text(value: Any) -> str:
    """`value` of a row, for people."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return str(value)


@contextmanager
def working(words: str) -> Iterator[None]:
    """Shows that something long is going on: a spinner at a terminal, one line elsewhere."""
    if err.is_terminal:
        with err.status(Text(printable(words))):
            yield
    else:
        err.print(words)
        yield


@contextmanager
def progressing() -> Iterator[Callable[[str, int, int], None]]:
    """Gives what is told how far something long has come: a bar with the time left, or a line a step at no terminal."""
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
    """Shows a download of jars, if there is one: a bar at a terminal, one line elsewhere."""
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


def print_problems(problems: Sequence[str], kind: str = "left out") -> None:
    """Prints the first few lines about images on stderr, and how many there are in all."""
    for problem in problems[:_PROBLEMS]:
        err.print(printable(f"{kind}: {problem}"), soft_wrap=True)
    if len(problems) > _PROBLEMS:
        err.print(f"{kind}: {len(problems)} in all, the first {_PROBLEMS} above")


def make_directory(path: Path, flag: str) -> None:
    """Makes the directory that `flag` names, or refuses the request in one line."""
    from sparkdl.errors import RequestError

    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"{flag}: no directory can be made at {path}: {error.strerror}") from error


def start_spark(
    conf: Sequence[str] = (), connectors: Sequence[Connector] = (), needed: Mapping[str, str] | None = None
) -> SparkSession:
    """The Spark session of a command, with connectors, settings that are needed, and `--conf KEY=VALUE`."""
    from sparkdl.errors import RequestError
    from sparkdl.spark.jars import session_jars
    from sparkdl.spark.session import spark_session, takes_jars

    settings = dict(needed or {})
    for setting in conf:
        key, separator, value = setting.partition("=")
        if not separator or not key:
            raise RequestError(f"expected --conf KEY=VALUE, received {setting!r}")
        settings[key] = value
    names, locks = [connector.package for connector in connectors], [connector.lock for connector in connectors]
    if locks and takes_jars(settings):
        with fetching(", ".join(names)) as note:
            session_jars(locks, note)
    with working(f"starting Spark{' with ' if names else ''}{', '.join(names)}"):
        return spark_session("sparkdl", settings, locks, other_sources=False)
