"""Image files and their labels at paths: files, folders and globs, on any file system of Spark."""

from __future__ import annotations

import glob
import logging
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sparkdl.errors import RequestError
from sparkdl.formats.image_files import list_images
from sparkdl.images.labels import label_of_folder
from sparkdl.spark.hadoop_fs import Files
from sparkdl.system.file_uris import origin_of, path_of
from sparkdl.system.left_out import LeftOut, Why

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_log = logging.getLogger(__name__)

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_GLOB = re.compile(r"[*?\[{]")
_NOT_IMAGES = re.compile(r"(?:.*/)?_(?:SUCCESS$|committed_\d+$|started_\d+$|temporary/|spark_metadata/|delta_log/)")
"""Files that Spark itself writes next to data."""


@dataclass(frozen=True)
class Folder:
    """Files of one folder.

    Attributes
    ----------
    root
        The folder: an absolute path, or a URI in Hadoop's form.
    files
        Relative paths.
    is_whole
        Whether these are all files below the folder.
    is_local
        Whether `root` is a path that the workers open themselves.
    """

    root: str
    files: tuple[str, ...]
    is_whole: bool
    is_local: bool

    @property
    def is_flat(self) -> bool:
        """Whether all files lie directly in the folder."""
        return not any("/" in name for name in self.files)

    @property
    def top_files(self) -> tuple[str, ...]:
        """The files that lie directly in the folder."""
        return tuple(name for name in self.files if "/" not in name)

    def spark_paths(self) -> list[str]:
        """Return the paths that Spark must load to read these files."""
        paths = [self.root] if self.is_whole else [f"{self.root}/{name}" for name in self.files]
        return [re.sub(r"([\\*?\[\]{}^,])", r"\\\1", path) for path in paths]


def label_in(folder: Folder, name: str) -> str:
    """Return the label of a file of `folder`; see `sparkdl.decoding.reader.read_images`."""
    label = os.path.basename(folder.root.rstrip("/")) if folder.is_flat else name.partition("/")[0]  # noqa: PTH119 - or a URI
    return label_of_folder(label)


def local_files(folders: Iterable[Folder]) -> Iterator[tuple[str, str]]:
    """Yield `origin` and label of each file of local folders, each file once."""
    seen = set()
    for folder in folders:
        for name in folder.files:
            origin = origin_of(f"{folder.root}/{name}")
            if origin not in seen:
                seen.add(origin)
                yield origin, label_in(folder, name)


def find_folders(spark: SparkSession, paths: Iterable[str], *, check_labels: bool) -> list[Folder]:
    """Return the files at `paths`, grouped by folder.

    Parameters
    ----------
    check_labels
        Whether each file must have an unambiguous label.

    Raises
    ------
    RequestError
        See `sparkdl.decoding.reader.read_images`.
    """
    folders: list[Folder] = []
    for path in paths:
        is_other = _SCHEME.match(path) and not path.startswith("file:")
        found = list(_find_other(Files(spark), path) if is_other else _find_local(_path_at(path)))
        if not any(folder.files for folder in found):
            raise RequestError(f"no image files at {path}" if found else f"no such file or directory: {path}")
        folders += found
    folders = _merged(folders)
    if check_labels:
        _check_labels(folders)
    return folders


def _check_labels(folders: Iterable[Folder]) -> None:
    """Raise a `RequestError` if it is ambiguous which folders are the labels."""
    flat, nested = None, None
    for folder in folders:
        direct = [name for name in folder.files if "/" not in name]
        if direct and not folder.is_flat:
            raise RequestError(
                f"{folder.root}: {len(direct)} files are next to the label folders, so their label is not known (the "
                f"first: {direct[0]}); move them into a label folder, or name the label folders: {folder.root}/*/"
            )
        if folder.is_whole and folder.files:
            flat, nested = (folder.root, nested) if folder.is_flat else (flat, folder.root)
    if flat and nested:
        raise RequestError(
            f"{nested} has folders below it and {flat} has not, so it is not clear which folders are the labels: name "
            "the folder above the label folders"
        )


def _path_at(path: str) -> str:
    """Return the path for a path or a `file:` URI."""
    return path_of(re.sub(r"^file:///", "file:/", path)) if path.startswith("file:") else path


def _find_local(path: str) -> Iterator[Folder]:
    matches = [path]
    if not os.path.lexists(path) and _GLOB.search(path):  # a name may contain the characters of a glob
        matches = sorted(glob.glob(path, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
    for match in map(os.path.abspath, matches):
        if os.path.isdir(match):  # noqa: PTH112 - paths stay text and keep all their bytes
            yield Folder(match, tuple(_names_below(match)), is_whole=True, is_local=True)
        elif os.path.lexists(match):
            root, name = os.path.split(match)
            yield Folder(root, (name,), is_whole=False, is_local=True)


def _names_below(directory: str) -> list[str]:
    """Return the relative paths of the image files below `directory`; log which other files there are."""
    left_out = LeftOut()
    try:
        names = list_images(Path(directory), left_out)
    except OSError as error:
        raise RequestError(f"{directory}: the folder cannot be listed: {error.strerror}") from error
    if unreadable := left_out.reasons.get(Why.UNREADABLE):
        raise RequestError(f"{directory}: {unreadable.count} files or folders cannot be read: {unreadable.shown}")
    if left_out:
        _log.warning("%s: %s", directory, left_out)
    return names


def _find_other(files: Files, path: str) -> Iterator[Folder]:
    for match, is_folder in files.glob(path):
        if not is_folder:
            root, _, name = match.rpartition("/")
            yield Folder(root, _checked(root, [name]), is_whole=False, is_local=False)
            continue
        names = [name for name in files.names_below(match) if not any(p.startswith(".") for p in name.split("/"))]
        yield Folder(match, _checked(match, names), is_whole=True, is_local=False)


def _checked(root: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return the names without Spark's own files; raise a `RequestError` if Spark would skip any other file."""
    kept = tuple(sorted(name for name in names if not _NOT_IMAGES.match(name)))
    hidden = [name for name in kept if any(part.startswith("_") and "=" not in part for part in name.split("/"))]
    if hidden:
        raise RequestError(
            f"{root}: {len(hidden)} of {len(kept)} files have a name or folder that begins with '_', which Spark does "
            f"not read on this file system (the first: {hidden[0]}); rename them, or copy them to a mounted directory"
        )
    return kept


def _merged(folders: Iterable[Folder]) -> list[Folder]:
    """Return `folders` with single files of the same folder merged."""
    found: dict[tuple[str, bool], Folder] = {}
    for folder in folders:
        key = folder.root, folder.is_whole
        files = folder.files if folder.is_whole or key not in found else (*found[key].files, *folder.files)
        found[key] = Folder(folder.root, files, folder.is_whole, folder.is_local)
    return list(found.values())
