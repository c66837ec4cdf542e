"""What the commands share that use MLflow: options, the server, and the export of a version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from console.output import err, working
from sparkdl.errors import RequestError

if TYPE_CHECKING:
    from sparkdl.models.mlflow.tracking import TrackingServer
    from sparkdl.models.registry import ModelVersion

MlflowExperiment = Annotated[str, typer.Option("--mlflow-experiment", help="The experiment in MLflow.", metavar="NAME")]
MlflowServer = Annotated[
    str | None,
    typer.Option("--mlflow", help="The tracking server of MLflow; by default MLFLOW_TRACKING_URI.", metavar="URI"),
]


def open_tracking(uri: str) -> TrackingServer:
    """Return a tracking server that has answered, before any work is done.

    Raises
    ------
    RequestError
        If the extra `mlflow` is not installed, or the URI is wrong.
    SparkdlError
        If the server does not answer.
    """
    from sparkdl.models.mlflow.tracking import TrackingServer

    server = TrackingServer(uri, creates=True)
    server.check_reachable()
    return server


def export_to_mlflow(version: ModelVersion, to: str, alias: str | None, uri: str | None, experiment: str) -> None:
    """Register a version as `to`, `mlflow:NAME`, and point an alias to it."""
    from sparkdl.models.mlflow.address import check_alias, check_name
    from sparkdl.models.mlflow.tracking import tracking_uri

    name = check_name(to)
    if alias is not None:
        check_alias(alias)
    server = open_tracking(tracking_uri(uri))
    from sparkdl.models.mlflow.exporting import register

    with working(f"registering {version.name} in MLflow at {server}"):
        made = register(server, version, name, alias=alias, experiment=experiment)
    named = "" if alias is None else f", which {alias} now names"
    err.print(f"registered {version.name} as mlflow:{made.name}/{made.number}{named}", soft_wrap=True)


def check_target(to: str) -> None:
    """Refuse a target of an export that is of no known kind."""
    from sparkdl.models.mlflow.address import is_mlflow

    if not is_mlflow(to):
        raise RequestError(f"--to: expected mlflow:NAME, received {to!r}")
