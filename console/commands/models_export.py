"""`sparkdl models export`: a version for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from console.mlflow import MlflowExperiment, MlflowServer, MlflowTarget
from console.options import Models
from sparkdl.models.mlflow.address import EXPERIMENT


def export_model(
    version: Annotated[str, typer.Argument(help="A version's name, or 'current'.")],
    to: Annotated[
        str, typer.Option("--to", help="mlflow:NAME registers it in MLflow as a pyfunc.", metavar="mlflow:NAME")
    ],
    alias: Annotated[
        str | None, typer.Option(help="An alias in MLflow to point to it, such as champion.", metavar="NAME")
    ] = None,
    mlflow: MlflowServer = None,
    mlflow_experiment: MlflowExperiment = EXPERIMENT,
    models: Models = Path("models"),
) -> None:
    """Register a version as a model of MLflow, which runs without Spark."""
    target = MlflowTarget.parse(to, alias, mlflow, mlflow_experiment)
    from sparkdl.models.registry import Registry, resolve_model

    target.export(resolve_model(str(models)) if version == "current" else Registry(models).version(version))
