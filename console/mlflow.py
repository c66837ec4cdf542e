"""What the commands share that use MLflow: options, the server, and what is put there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from console.options import OUTPUT
from console.output import err
from console.progress import working
from sparkdl.errors import RequestError, SparkdlError

if TYPE_CHECKING:
    from sparkdl.models.mlflow.tracking import TrackingServer
    from sparkdl.models.registry import ModelVersion

MlflowExperiment = Annotated[
    str,
    typer.Option("--mlflow-experiment", help="Experiment in MLflow.", metavar="NAME", rich_help_panel=OUTPUT),
]
MlflowServer = Annotated[
    str | None,
    typer.Option(
        "--mlflow", help="MLflow server; by default MLFLOW_TRACKING_URI.", metavar="URI", rich_help_panel=OUTPUT
    ),
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


@dataclass(frozen=True)
class MlflowTarget:
    """Where in MLflow a version is registered: a model of a server, and an alias to point to it."""

    server: TrackingServer
    name: str
    alias: str | None
    experiment: str

    @classmethod
    def parse(cls, to: str, alias: str | None, uri: str | None, experiment: str) -> MlflowTarget:
        """Return the target `mlflow:NAME`; nothing is asked yet.

        Raises
        ------
        RequestError
            If it has another form, the alias or the URI of the server is wrong, or the extra `mlflow` is missing.
        """
        from sparkdl.models.mlflow.address import check_alias, check_name, is_mlflow
        from sparkdl.models.mlflow.tracking import TrackingServer, tracking_uri

        if not is_mlflow(to):
            raise RequestError(f"--to: expected mlflow:NAME, received {to!r}")
        name = check_name(to)
        if alias is not None:
            check_alias(alias)
        return cls(TrackingServer(tracking_uri(uri), creates=True), name, alias, experiment)

    def export(self, version: ModelVersion) -> None:
        """Register a version, and say as what."""
        self.server.check_reachable()
        from sparkdl.models.mlflow.exporting import register

        with working(f"registering {version.name} in MLflow at {self.server}"):
            made = register(self.server, version, self.name, alias=self.alias, experiment=self.experiment)
        named = "" if self.alias is None else f", which {self.alias} now names"
        err.print(f"registered {version.name} as mlflow:{made.name}/{made.number}{named}", soft_wrap=True)


def log_training(server: TrackingServer, version: ModelVersion, experiment: str) -> None:
    """Log a version that was trained, and say where."""
    from sparkdl.models.mlflow.exporting import log_run

    try:
        with working(f"logging to MLflow at {server}"):
            run = log_run(server, version, experiment)
    except SparkdlError as error:
        raise SparkdlError(f"{version.name} is saved but not logged: {error}") from error
    missing = "" if run.model_id is not None else ", without the model: its stages need Spark"
    err.print(f"logged as run {run.run_id} of experiment {experiment}{missing}", soft_wrap=True)
