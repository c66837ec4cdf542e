"""`sparkdl init`: write a commented `sparkdl.toml`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from console.options import make_directory
from console.output import err
from sparkdl.errors import RequestError


def init(
    directory: Annotated[Path, typer.Argument(help="Directory of the file.", metavar="DIR")] = Path(),
) -> None:
    """Write sparkdl.toml with every setting, commented out. An existing file is not overwritten."""
    from console.main import load_commands
    from console.settings_template import make_template
    from streaming.settings_file import TOML

    path = directory / TOML
    if os.path.lexists(path):
        raise RequestError(f"{path} is already there: edit it, or remove it first")
    text = make_template(load_commands())
    make_directory(directory, "DIR")
    try:
        with path.open("x", encoding="utf-8") as file:
            path.chmod(0o644)  # a file that others can write to is not read
            file.write(text)
    except OSError as error:
        raise RequestError(f"{path} cannot be written: {error.strerror}") from error
    err.print(f"wrote {path}: edit it, then run sparkdl stream in {directory}", soft_wrap=True)
