"""`sparkdl.toml` in the working directory: read only where nobody but its user can have written it."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sparkdl.errors import RequestError

TOML = "sparkdl.toml"
MOST_BYTES = 1 << 20
"""The longest file that is read."""

_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_DIRECTORY = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY  # one that may be entered need not be readable
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a FIFO has no writer to wait for


def read_settings_file() -> dict[str, Any]:
    """Return what `sparkdl.toml` in the working directory sets; nothing if there is no such file.

    The checks are on the opened directory and the opened file, so what is checked is what is read.

    Raises
    ------
    RequestError
        If it is no TOML, no regular file or too long, or if another user than this one and root can have written it.
    """
    try:
        with _opened(".", _DIRECTORY) as directory, _opened(TOML, _FILE, directory) as file:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise RequestError(f"{TOML}: expected a regular file: remove it, or start elsewhere")
            _check_writers(TOML, status)
            _check_writers(f"the directory of {TOML}", os.fstat(directory))
            if status.st_size > MOST_BYTES:
                raise RequestError(f"{TOML}: expected at most {MOST_BYTES} bytes, received {status.st_size}")
            with open(file, "rb", closefd=False) as opened:
                return tomllib.loads(opened.read(MOST_BYTES).decode())
    except FileNotFoundError:
        return {}
    except OSError as error:
        if Path(TOML).is_symlink():
            raise RequestError(f"{TOML} is a link, which is not followed: put the file itself there") from error
        raise RequestError(f"{TOML} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"{TOML}: {str(error) or 'nested too deep'}") from error


def check_place(source: Path | None, model: Path) -> None:
    """Refuse a settings file that came with what the stream reads: below its source, or in a model.

    Parameters
    ----------
    source
        The watched directory, None if it is none.
    model
        A registry, a version or a PipelineModel directory.

    Raises
    ------
    RequestError
        Naming where the file lies.
    """
    here = Path.cwd().resolve()
    for kind, path in (("the watched directory", source), ("the model", model)):
        if path is not None and path.is_dir() and here.is_relative_to(path.resolve()):
            raise RequestError(f"{TOML} lies in {kind} {path}, whose files are not trusted: start elsewhere")
    for directory in (here, *here.parents):
        if _is_model(directory):
            raise RequestError(f"{TOML} lies in the model {directory}, whose files are not trusted: start elsewhere")


def _is_model(directory: Path) -> bool:
    """Whether this is a version of a registry, or a PipelineModel directory."""
    return _has(directory, ("model.json", "pipeline")) or _has(directory, ("metadata", "stages"))


def _has(directory: Path, names: Iterable[str]) -> bool:
    return all(os.path.lexists(directory / name) for name in names)


def _check_writers(name: str, status: os.stat_result) -> None:
    if status.st_uid not in {0, os.geteuid()}:
        raise RequestError(
            f"{name} belongs to another user (uid {status.st_uid}): make it your own, or start elsewhere"
        )
    if status.st_mode & _OTHERS:
        what = "." if name != TOML else TOML
        raise RequestError(f"{name} can be written by other users: chmod go-w {what}, or start elsewhere")


@contextmanager
def _opened(path: str, flags: int, directory: int | None = None) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC, dir_fd=directory)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
