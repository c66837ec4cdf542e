"""`sparkdl models`: the versions of a registry, and which one is promoted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.commands.models_export import export_model
from console.options import Models
from console.output import Format, err, print_json, print_rows
from sparkdl.errors import RequestError

if TYPE_CHECKING:
    from sparkdl.models.registry import ModelVersion

app = typer.Typer(help="List, show, promote, verify and export saved models.")
app.command("export")(export_model)
Version = Annotated[str, typer.Argument(help="A version's name, or 'current'.")]


@app.command("list")
def list_models(
    models: Models = Path("models"), form: Annotated[Format, typer.Option("--format")] = Format.TABLE
) -> None:
    """List the versions; the promoted one is marked."""
    from sparkdl.models.registry import Registry

    if not models.is_dir():
        raise RequestError(f"no such registry: {models} (train a model with: sparkdl train --data DATA)")
    registry = Registry(models)
    current = registry.current()
    rows = [
        {
            "version": version.name,
            "promoted": "*" if current is not None and current.name == version.name else "",
            "recipe": version.description["recipe"]["name"],
            "accuracy": version.description["metrics"]["accuracy"],
            "test images": version.description["metrics"]["n"],
            "created": version.description["created_at"],
        }
        for version in registry.versions()
    ]
    print_rows(rows, ("version", "promoted", "recipe", "accuracy", "test images", "created"), form)


@app.command()
def show(version: Version = "current", models: Models = Path("models")) -> None:
    """Print a version's model.json."""
    print_json(_find(models, version).description)


@app.command()
def promote(version: Annotated[str, typer.Argument(help="A version's name.")], models: Models = Path("models")) -> None:
    """Promote a version; to roll back, promote an older one."""
    from sparkdl.models.registry import Registry

    Registry(models).promote(version)
    err.print(f"promoted {version}")


@app.command()
def verify(version: Version = "current", models: Models = Path("models")) -> None:
    """Compare every file of a version with the digest it was saved with."""
    found = _find(models, version)
    found.verify()
    err.print(f"{found.name}: all {len(found.description.get('files', {}))} files are as they were saved")


def _find(models: Path, version: str) -> ModelVersion:
    from sparkdl.models.registry import Registry, resolve_model

    return resolve_model(str(models)) if version == "current" else Registry(models).version(version)
