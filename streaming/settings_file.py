"""The settings file: `sparkdl.toml` in the working directory, or a file that the user names."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from sparkdl.errors import RequestError
from sparkdl.system.files import NotRegularError, open_regular
from sparkdl.system.ownership import writable_by_others

TOML = "sparkdl.toml"
MOST_BYTES = 1 << 20
"""Maximum size of the file in bytes."""

_DIRECTORY = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY  # needs only search permission on the directory


def read_settings_file(named: Path | None = None) -> dict[str, Any]:
    """Return the content of a settings file; empty if none is named and there is no `sparkdl.toml`.

    `sparkdl.toml` in the working directory is read only if no other user can have written it. The checks use the
    descriptors of the opened directory and file, so that neither can be replaced after its check.

    Parameters
    ----------
    named
        A file to read instead. Links are followed, and its directory is not checked.

    Raises
    ------
    RequestError
        If it is not valid TOML, not a regular file or too long, or if a user other than this one and root can have
        written it; if the named file is missing.
    """
    if named is not None:
        return _read_named(named)
    try:
        with _opened(".", _DIRECTORY) as directory, open_regular(TOML, os.O_NOFOLLOW, directory) as file:
            _check_writers(TOML, TOML, os.fstat(file.fileno()))
            _check_writers(f"the directory of {TOML}", ".", os.fstat(directory))
            return _parse(file, TOML)
    except FileNotFoundError:
        return {}
    except NotRegularError as error:
        raise RequestError(f"{TOML}: expected a regular file: remove it, or start elsewhere") from error
    except OSError as error:
        if Path(TOML).is_symlink():
            raise RequestError(f"{TOML} is a link, which is not followed: put the file itself there") from error
        raise RequestError(f"{TOML} cannot be read: {error.strerror}") from error


def _read_named(path: Path) -> dict[str, Any]:
    try:
        with open_regular(path) as file:
            _check_writers(str(path), str(path), os.fstat(file.fileno()))
            return _parse(file, str(path))
    except FileNotFoundError as error:
        raise RequestError(f"--config: no such file: {path}") from error
    except NotRegularError as error:
        raise RequestError(f"--config: expected a regular file, received {path}") from error
    except OSError as error:
        raise RequestError(f"--config: {path} cannot be read: {error.strerror}") from error


def _parse(file: IO[bytes], name: str) -> dict[str, Any]:
    if (size := os.fstat(file.fileno()).st_size) > MOST_BYTES:
        raise RequestError(f"{name}: expected at most {MOST_BYTES} bytes, received {size}")
    try:
        return tomllib.loads(file.read(MOST_BYTES).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"{name}: {str(error) or 'nested too deep'}") from error


def check_keys(place: str, keys: Iterable[str], known: Collection[str], kind: str = "setting") -> None:
    """Refuse a key of a settings file that is not known, with the nearest known one.

    Parameters
    ----------
    place
        The file, and the table in it.
    kind
        What a key is.

    Raises
    ------
    RequestError
        For the first unknown key.
    """
    for key in keys:
        if key not in known:
            from difflib import get_close_matches

            near = get_close_matches(key.replace("-", "_"), known, 1)
            hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
            raise RequestError(f"{place}: unknown {kind} {key!r}: {hint}")


def check_place(images: Iterable[Path], model: Path | None, kind: str = "the watched directory") -> None:
    """Refuse a `sparkdl.toml` that came with the input: in a directory of images, or in a model.

    Parameters
    ----------
    images
        Directories of images.
    model
        A registry, a version or a PipelineModel directory.
    kind
        What a directory of images is to the user.

    Raises
    ------
    RequestError
        If the file is in one of them; the message names it.
    """
    here = Path.cwd().resolve()
    for what, path in [*((kind, path) for path in images), *([("the model", model)] if model is not None else ())]:
        if path.is_dir() and here.is_relative_to(path.resolve()):
            raise RequestError(f"{TOML} is in {what} {path}, whose files are not trusted: start elsewhere")
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
