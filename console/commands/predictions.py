"""`sparkdl predictions`: read what a stream has written."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.options import OUTPUT, KafkaConfig
from console.output import Format, err, out, print_json, print_rows, to_text
from console.progress import counting
from sparkdl.errors import RequestError
from sparkdl.system.terminal import printable

if TYPE_CHECKING:
    from streaming.readers.base import Reader

_PREDICTION = ("id", "prediction", "confidence", "label", "needs_review")
_ROWS = "Rows"
_DEAD = ("id", "reason", "detail", "size", "label")


def predictions(
    sink: Annotated[
        str,
        typer.Argument(
            help="Sink of the stream: parquet:DIR, delta:DIR, a directory, or kafka://HOST:PORT/TOPIC.", metavar="SINK"
        ),
    ],
    dead_letters: Annotated[
        bool, typer.Option("--dead-letters", help="Print dead letters, not predictions.", rich_help_panel=_ROWS)
    ] = False,
    summary: Annotated[bool, typer.Option("--summary", help="Print counts, not rows.", rich_help_panel=_ROWS)] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Wait for new rows until Ctrl-C.", rich_help_panel=_ROWS)
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of rows.", metavar="N", rich_help_panel=_ROWS)
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            help="With --dead-letters: write the original bytes as files to this new directory.",
            metavar="DIR",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    form: Annotated[
        Format, typer.Option("--format", help="Output format.", metavar="|".join(Format), rich_help_panel=OUTPUT)
    ] = Format.TABLE,
    kafka_config: KafkaConfig = None,
) -> None:
    """Read the predictions and dead letters that a stream has written."""
    if export is not None and (not dead_letters or summary or follow or limit):
        raise RequestError("--export is for --dead-letters, without --summary, --follow and --limit")
    from streaming.kafka.client_config import ClientConfig
    from streaming.sinks.factory import parse_sink

    reader = parse_sink(sink, kafka_client=ClientConfig.read(kafka_config)).reader()
    if export is not None:
        _export(reader, export)
        return
    if summary:
        figures = reader.summary()
        if form is Format.JSON:
            print_json(figures)
        else:
            print_summary(figures)
        return
    columns = _DEAD if dead_letters else _PREDICTION
    rows = itertools.islice(reader.rows(dead=dead_letters, follow=follow), limit)
    if follow and form is Format.TABLE:
        for row in rows:
            out.print("  ".join(printable(to_text(row[name])) or "-" for name in columns), soft_wrap=True)
    else:
        print_rows(rows, columns, form)


def _export(reader: Reader, directory: Path) -> None:
    from streaming.readers.export import export_dead_letters, export_directory

    files = 0
    with export_directory(directory) as opened, counting("exporting dead letters") as note:
        for number, row in enumerate(export_dead_letters(reader, opened), 1):
            note(number)
            files += row["file"] is not None
            if row["file"] is None:
                said = f"the bytes of {row['id']} were not kept ({row['reason']}): see {row['origin']}"
                err.print(printable(said), soft_wrap=True)
    err.print(
        f"{files} dead letters in {directory}; to send them again: sparkdl produce --data {directory} --to SOURCE",
        soft_wrap=True,
    )


def print_summary(figures: dict[str, Any], *, classes: bool = True) -> None:
    """Print `Reader.summary` as a table; with `classes` also how often each class was predicted."""
    rows: list[dict[str, Any]] = [
        {"": name.replace("_", " "), "value": figures[name]}
        for name in ("images", "predictions", "dead_letters", "needs_review")
    ]
    if figures["labelled"]:
        said = f"{figures['accuracy']:.4f} ({figures['correct']} of {figures['labelled']} labelled)"
        rows.append({"": "accuracy", "value": said})
    for group, name in (("classes", "predicted"), ("reasons", "dead letters,"), ("models", "by model")):
        if group == "classes" and not classes:
            continue
        rows += [{"": f"{name} {key}", "value": count} for key, count in figures[group].items()]
    print_rows(rows, ("", "value"), Format.TABLE)
