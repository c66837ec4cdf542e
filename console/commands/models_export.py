"""`sparkdl models export`: a version for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from console.mlflow import MlflowExperiment, MlflowServer, MlflowTarget
from console.options import OUTPUT, Models
from sparkdl.models.mlflow.address import EXPERIMENT


def export_model(
    version: Annotated[str, typer.Argument(help="Name of a version, or 'current'.", metavar="VERSION")],
    to: Annotated[
        str,
        typer.Option("--to", help="Model of MLflow to register it as.", metavar="mlflow:NAME", rich_help_panel=OUTPUT),
    ],
    alias: Annotated[
        str | None,
        typer.Option(help="Alias in MLflow to set, such as champion.", metavar="NAME", rich_help_panel=OUTPUT),
    ] = None,
    mlflow: MlflowServer = None,
    mlflow_experiment: MlflowExperiment = EXPERIMENT,
    models: Models = Path("models"),
) -> None:
    """Register a version in MLflow."""
    target = MlflowTarget.parse(to, alias, mlflow, mlflow_experiment)
    from sparkdl.models.registry import Registry, resolve_model

    target.export(resolve_model(str(models)) if version == "current" else Registry(models).version(version))
