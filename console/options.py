"""The options that several commands share, and their checks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.output import err
from sparkdl.errors import RequestError
from sparkdl.system.terminal import printable
from training.data.request import Layout

if TYPE_CHECKING:
    from streaming.settings import StreamSettings


def _check_conf(settings: list[str] | None) -> list[str] | None:
    for setting in settings or ():
        key, separator, _ = setting.partition("=")
        if not separator or not key:
            raise RequestError(f"expected --conf KEY=VALUE, received {setting!r}")
    return settings


Data = Annotated[
    str,
    typer.Option(
        help="Labelled images: a directory, a table, FILE.npz, kaggle:OWNER/NAME, or 'samples' for drawn digits."
    ),
]
Ignore = Annotated[
    list[str] | None,
    typer.Option(
        help="A pattern of file names to leave alone, such as '*.bak' or 'raw/'; can be repeated.", metavar="PATTERN"
    ),
]
DataLayout = Annotated[
    Layout, typer.Option("--layout", help="Where the labels of a directory are, if it is not recognised.")
]
ImageColumn = Annotated[str | None, typer.Option(help="The column of files in a table of labels.", metavar="COLUMN")]
LabelColumn = Annotated[str | None, typer.Option(help="The column of labels in a table.", metavar="COLUMN")]
Models = Annotated[Path, typer.Option(help="The registry of models.", envvar="SPARKDL_MODELS")]
Conf = Annotated[
    list[str] | None,
    typer.Option(help="A Spark setting; can be repeated.", metavar="KEY=VALUE", callback=_check_conf),
]
KafkaConfig = Annotated[
    Path | None, typer.Option(help="A properties file as Kafka's own tools take it, for TLS and logins.")
]


def make_directory(path: Path, flag: str) -> None:
    """Make the directory that `flag` names.

    Raises
    ------
    RequestError
        If it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"{flag}: no directory can be made at {path}: {error.strerror}") from error


def print_file_settings(settings: StreamSettings) -> None:
    """Print the settings that were read from `sparkdl.toml`, and which of them delete files or use the network."""
    from streaming.settings_file import TOML

    if not settings.from_file:
        return
    taken = ", ".join(f"{name} = {value!r}" for name, value in settings.from_file.items())
    err.print(printable(f"settings from {Path.cwd() / TOML}: {taken}"), soft_wrap=True)
    for consequence in _consequences(settings):
        err.print(printable(f"  by {TOML}, {consequence}"), soft_wrap=True)


def _consequences(settings: StreamSettings) -> Iterator[str]:
    from sparkdl.models.mlflow.address import is_mlflow
    from streaming.kafka.address import is_kafka
    from streaming.monitoring.server import is_loopback, parse_http
    from streaming.sources.base import AfterRead

    taken = settings.from_file.keys()
    if settings.after_read is AfterRead.DELETE and taken & {"after_read", "source"}:
        yield f"files below {settings.source} are deleted once they are read (after_read)"
    if settings.after_read is AfterRead.ARCHIVE and taken & {"after_read", "source", "archive_dir"}:
        yield f"files below {settings.source} are moved to {settings.archive_dir} once they are read (after_read)"
    if "source" in taken and is_kafka(str(settings.source)):
        yield f"images are read over the network from {settings.source} (source)"
    if "sink" in taken and is_kafka(str(settings.sink)):
        yield f"predictions and unreadable images are sent over the network to {settings.sink} (sink)"
    if taken & {"model", "mlflow"} and is_mlflow(settings.model):
        yield f"the model {settings.model} is fetched from an MLflow server and followed there (model, mlflow)"
    if "kafka_config" in taken:
        yield f"Kafka's clients log in as {settings.kafka_config} says (kafka_config)"
    if "http" in taken and settings.http is not None:
        host, port = parse_http(settings.http)
        who = "this machine" if is_loopback(host) else "any machine that reaches it"
        yield f"health and metrics are served to {who} on {host}, port {port} (http)"
