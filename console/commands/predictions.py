"""`sparkdl predictions`: read what a stream has written."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.options import KafkaConfig
from console.output import Format, err, out, print_json, print_rows, to_text
from sparkdl.errors import RequestError
from sparkdl.system.terminal import printable

if TYPE_CHECKING:
    from streaming.readers.base import Reader

_PREDICTION = ("id", "prediction", "confidence", "label", "needs_review")
_DEAD = ("id", "reason", "detail", "size", "label")


def predictions(
    sink: Annotated[
        str, typer.Argument(help="The sink: parquet:DIR, delta:DIR, a directory, or kafka://HOST:PORT/TOPIC.")
    ],
    dead_letters: Annotated[bool, typer.Option("--dead-letters", help="Show dead letters.")] = False,
    summary: Annotated[bool, typer.Option("--summary", help="Show counts, not rows.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Wait for more; end with Ctrl-C.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum number of rows.")] = None,
    export: Annotated[
        Path | None, typer.Option(help="With --dead-letters: write their bytes as files to this new directory.")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="Output format.")] = Format.TABLE,
    kafka_config: KafkaConfig = None,
) -> None:
    """Read what a stream has written."""
    if export is not None and (not dead_letters or summary or follow or limit):
        raise RequestError("--export goes with --dead-letters alone")
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
    with export_directory(directory) as opened:
        for row in export_dead_letters(reader, opened):
            files += row["file"] is not None
            if row["file"] is None:
                said = f"no bytes of {row['id']} were kept ({row['reason']}): see {row['origin']}"
                err.print(printable(said), soft_wrap=True)
    err.print(
        f"{files} dead letters in {directory}; sparkdl produce --data {directory} sends them again", soft_wrap=True
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
