"""`sparkdl models export`: a version for other programs, as a file or in MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.mlflow import MlflowExperiment, MlflowServer, MlflowTarget
from console.options import OUTPUT, Models
from console.output import err
from sparkdl.errors import RequestError, unknown
from sparkdl.models.mlflow.address import EXPERIMENT, is_mlflow

if TYPE_CHECKING:
    from sparkdl.models.registry import ModelVersion

_ONNX, _MLFLOW = "onnx", "mlflow:NAME"


def export_model(
    version: Annotated[str, typer.Argument(help="Name of a version, or 'current'.", metavar="VERSION")],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="onnx, one file from pixels to probabilities; or mlflow:NAME, a model to register it as.",
            metavar="FORMAT",
            rich_help_panel=OUTPUT,
        ),
    ],
    file: Annotated[Path | None, typer.Argument(help="File to write; not for MLflow.", metavar="FILE")] = None,
    alias: Annotated[
        str | None,
        typer.Option(help="Alias in MLflow to set, such as champion.", metavar="NAME", rich_help_panel=OUTPUT),
    ] = None,
    mlflow: MlflowServer = None,
    mlflow_experiment: MlflowExperiment = EXPERIMENT,
    models: Models = Path("models"),
) -> None:
    """Write a version as ONNX, or register it in MLflow."""
    if is_mlflow(to):
        if file is not None:
            raise RequestError(f"--to {to} writes no file: omit {file}")
        target = MlflowTarget.parse(to, alias, mlflow, mlflow_experiment)
        target.export(_find(models, version))
        return
    if to != _ONNX:
        raise unknown("export format", to, (_ONNX, _MLFLOW))
    if alias is not None:
        raise RequestError("--alias is for --to mlflow:NAME: omit it")
    if file is None:
        raise RequestError("--to onnx: name the FILE to write, such as model.onnx")
    _write_onnx(_find(models, version), file)


def _find(models: Path, version: str) -> ModelVersion:
    from sparkdl.models.registry import Registry, resolve_model

    return resolve_model(str(models)) if version == "current" else Registry(models).version(version)


def _write_onnx(version: ModelVersion, file: Path) -> None:
    if file.is_dir():
        raise RequestError(f"{file} is a directory: name a file, such as {file}/model.onnx")
    from sparkdl.models.export import export_onnx
    from sparkdl.system.files import write_atomically

    content = export_onnx(version)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, content)
    except OSError as error:
        raise RequestError(f"{file} cannot be written: {error.strerror}") from error
    err.print(f"{version.name}: {len(content) / 1e6:.1f} MB in {file}", soft_wrap=True)
