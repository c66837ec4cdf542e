"""`sparkdl models export`: a version as a file for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from console.options import OUTPUT, Models
from console.output import err
from sparkdl.errors import RequestError, unknown

_TARGETS = ("onnx",)


def export_model(
    version: Annotated[str, typer.Argument(help="Name of a version, or 'current'.", metavar="VERSION")],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="Format: onnx, one file from pixels to probabilities.",
            metavar="FORMAT",
            rich_help_panel=OUTPUT,
        ),
    ],
    file: Annotated[Path, typer.Argument(help="File to write.", metavar="FILE")],
    models: Models = Path("models"),
) -> None:
    """Write a version as one self-contained ONNX file."""
    if to not in _TARGETS:
        raise unknown("export format", to, _TARGETS)
    if file.is_dir():
        raise RequestError(f"{file} is a directory: name a file, such as {file}/model.onnx")
    from sparkdl.models.export import export_onnx
    from sparkdl.models.registry import Registry, resolve_model
    from sparkdl.system.files import write_atomically

    found = resolve_model(str(models)) if version == "current" else Registry(models).version(version)
    content = export_onnx(found)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, content)
    except OSError as error:
        raise RequestError(f"{file} cannot be written: {error.strerror}") from error
    err.print(f"{found.name}: {len(content) / 1e6:.1f} MB in {file}", soft_wrap=True)
