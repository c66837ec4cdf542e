"""`sparkdl models`: the versions of a registry, and which one is promoted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.command import add_command, command, make_group
from console.commands.models_export import export_model
from console.commands.models_import import import_model
from console.options import OUTPUT, Models
from console.output import Format, err, print_json, print_rows
from sparkdl.errors import RequestError

if TYPE_CHECKING:
    from sparkdl.models.registry import ModelVersion

app = make_group("models", "List, show, promote, verify, import and export the models of a registry.")


def _versions(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names of versions that a shell can complete."""
    from sparkdl.models.registry import Registry

    directory = Path(context.params.get("models") or "models")
    return [each.name for each in Registry(directory).versions() if each.name.startswith(incomplete)]


Version = Annotated[
    str, typer.Argument(help="Name of a version, or 'current'.", metavar="VERSION", autocompletion=_versions)
]


@command(app, "list")
def list_models(
    models: Models = Path("models"),
    form: Annotated[
        Format, typer.Option("--format", help="Output format.", metavar="|".join(Format), rich_help_panel=OUTPUT)
    ] = Format.TABLE,
) -> None:
    """List the versions. A star marks the promoted one."""
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
            "accuracy": version.description.get("metrics", {}).get("accuracy"),
            "test images": version.description.get("metrics", {}).get("n"),
            "created": version.description["created_at"],
        }
        for version in registry.versions()
    ]
    print_rows(rows, ("version", "promoted", "recipe", "accuracy", "test images", "created"), form)


@command(app, "show")
def show(version: Version = "current", models: Models = Path("models")) -> None:
    """Print the model.json of a version."""
    print_json(_find(models, version).description)


@command(app, "promote")
def promote(
    version: Annotated[str, typer.Argument(help="Name of a version.", metavar="VERSION", autocompletion=_versions)],
    models: Models = Path("models"),
) -> None:
    """Promote a version. To roll back, promote an older one."""
    from sparkdl.models.registry import Registry

    Registry(models).promote(version)
    err.print(f"promoted {version}", soft_wrap=True)


@command(app, "verify")
def verify(version: Version = "current", models: Models = Path("models")) -> None:
    """Compare the files of a version with their digests."""
    found = _find(models, version)
    found.verify()
    err.print(f"{found.name}: all {len(found.description.get('files', {}))} files match their digests", soft_wrap=True)


def _find(models: Path, version: str) -> ModelVersion:
    from sparkdl.models.registry import Registry, resolve_model

    return resolve_model(str(models)) if version == "current" else Registry(models).version(version)


add_command(app, "import", import_model)
add_command(app, "export", export_model)
