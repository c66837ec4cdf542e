"""The options that several commands share, and their checks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sparkdl.errors import RequestError
from training.data.request import Layout

IMAGES, LABELS, MODEL, OUTPUT, SPARK, KAFKA = "Images", "Labels", "Model", "Output", "Spark", "Kafka"
"""Headings of options in the help."""


def _check_conf(settings: list[str] | None) -> list[str] | None:
    for setting in settings or ():
        key, separator, _ = setting.partition("=")
        if not separator or not key:
            raise RequestError(f"expected --conf KEY=VALUE, received {setting!r}")
    return settings


Data = Annotated[
    str,
    typer.Option(
        help="Labelled images: a directory, a table of labels, FILE.npz, kaggle:OWNER/NAME, or 'samples' for "
        "synthetic digits.",
        metavar="DATA",
        rich_help_panel=IMAGES,
    ),
]
Ignore = Annotated[
    list[str] | None,
    typer.Option(
        help="Pattern of file names to ignore, such as '*.bak' or 'raw/'; can be repeated.",
        metavar="PATTERN",
        rich_help_panel=IMAGES,
    ),
]
Seed = Annotated[int, typer.Option(help="Random seed.", metavar="N", rich_help_panel=IMAGES)]
DataLayout = Annotated[
    Layout,
    typer.Option(
        "--layout",
        help="Where the labels of a directory are.",
        metavar="|".join(Layout),
        rich_help_panel=LABELS,
    ),
]
ImageColumn = Annotated[
    str | None,
    typer.Option(help="Column of file names in a table of labels.", metavar="COLUMN", rich_help_panel=LABELS),
]
LabelColumn = Annotated[
    str | None, typer.Option(help="Column of labels in a table of labels.", metavar="COLUMN", rich_help_panel=LABELS)
]
Models = Annotated[
    Path, typer.Option(help="Model registry.", metavar="DIR", envvar="SPARKDL_MODELS", rich_help_panel=MODEL)
]
Conf = Annotated[
    list[str] | None,
    typer.Option(
        help="Spark setting; can be repeated.", metavar="KEY=VALUE", callback=_check_conf, rich_help_panel=SPARK
    ),
]
KafkaConfig = Annotated[
    Path | None,
    typer.Option(
        help="Properties file for Kafka clients, with TLS and credentials.", metavar="FILE", rich_help_panel=KAFKA
    ),
]


def make_directory(path: Path, flag: str) -> None:
    """Create the directory that `flag` names.

    Raises
    ------
    RequestError
        If it cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"{flag}: cannot create the directory {path}: {error.strerror}") from error
