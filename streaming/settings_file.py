"""`sparkdl.toml` in the working directory: read only if no other user can have written it."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sparkdl.errors import RequestError
from sparkdl.system.files import NotRegularError, open_regular
from sparkdl.system.ownership import writable_by_others

TOML = "sparkdl.toml"
MOST_BYTES = 1 << 20
"""Maximum size of the file in bytes."""

_DIRECTORY = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY  # needs only search permission on the directory


def read_settings_file() -> dict[str, Any]:
    """Return the settings in `sparkdl.toml` in the working directory; empty if there is no such file.

    The checks use the descriptors of the opened directory and file, so that neither can be replaced after its check.

    Raises
    ------
    RequestError
        If it is not valid TOML, not a regular file or too long, or if a user other than this one and root can have
        written it.
    """
    try:
        with _opened(".", _DIRECTORY) as directory, open_regular(TOML, os.O_NOFOLLOW, directory) as file:
            _check_writers(TOML, TOML, os.fstat(file.fileno()))
            _check_writers(f"the directory of {TOML}", ".", os.fstat(directory))
            if (size := os.fstat(file.fileno()).st_size) > MOST_BYTES:
                raise RequestError(f"{TOML}: expected at most {MOST_BYTES} bytes, received {size}")
            return tomllib.loads(file.read(MOST_BYTES).decode())
    except FileNotFoundError:
        return {}
    except NotRegularError as error:
        raise RequestError(f"{TOML}: expected a regular file: remove it, or start elsewhere") from error
    except OSError as error:
        if Path(TOML).is_symlink():
            raise RequestError(f"{TOML} is a link, which is not followed: put the file itself there") from error
        raise RequestError(f"{TOML} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"{TOML}: {str(error) or 'nested too deep'}") from error


def check_place(source: Path | None, model: Path) -> None:
    """Refuse a settings file that came with the stream's input: below the watched directory, or in a model.

    Parameters
    ----------
    source
        The watched directory, None if the source is not a directory.
    model
        A registry, a version or a PipelineModel directory.

    Raises
    ------
    RequestError
        If the file is in one of them; the message names it.
    """
    here = Path.cwd().resolve()
    for kind, path in (("the watched directory", source), ("the model", model)):
        if path is not None and path.is_dir() and here.is_relative_to(path.resolve()):
            raise RequestError(f"{TOML} is in {kind} {path}, whose files are not trusted: start elsewhere")
    for directory in (here, *here.parents):
        if _is_model(directory):
            raise RequestError(f"{TOML} is in the model {directory}, whose files are not trusted: start elsewhere")


def _is_model(directory: Path) -> bool:
    """Whether a directory is a version of a registry or a PipelineModel."""
    return _has(directory, ("model.json", "pipeline")) or _has(directory, ("metadata", "stages"))


def _has(directory: Path, names: Iterable[str]) -> bool:
    return all(os.path.lexists(directory / name) for name in names)


def _check_writers(name: str, place: str, status: os.stat_result) -> None:
    if fault := writable_by_others(status):
        raise RequestError(f"{name} {fault}: chown and chmod go-w {place}, or start elsewhere")


@contextmanager
def _opened(path: str, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
