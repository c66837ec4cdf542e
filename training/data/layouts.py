"""The layouts of a directory of labelled images, and how one is recognised."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sparkdl.errors import RequestError
from training.data import tables
from training.data.found import Found
from training.data.label_folders import has_images, list_folders, read_label_folders
from training.data.labelled_by_table import fits, read_table
from training.data.numtadb import is_numtadb, read_numtadb
from training.data.request import Layout, Request
from training.data.split_folders import check_no_split, is_split, read_split, subset_of
from training.data.tables import Table


def read_directory(root: Path, request: Request, found: Found) -> None:
    """Add the labelled images of a directory, or those next to a table, to `found`.

    Raises
    ------
    RequestError
        If the layout is ambiguous, or is not the requested one.
    OSError
        If the directory cannot be listed.
    """
    if root.is_file():
        if request.layout not in (Layout.AUTO, Layout.TABLE):
            raise RequestError(f"--layout {request.layout} is for directories: omit it for the table {request.address}")
        read_table(tables.open_table(root), request, found)
        return
    if request.layout is Layout.AUTO and not request.names_columns:
        folders = list_folders(root, request)
        # Archives often have one folder around everything.
        inner = root / folders[0] if len(folders) == 1 and not subset_of(folders[0]) else root
        for place in (root, inner):
            if is_numtadb(place, request):
                if place != root:
                    list_folders(root, request, found.left_out)
                read_numtadb(place, request, found)
                return
        if inner != root and not _tables(root, request) and _is_wrapped_split(inner, request):
            list_folders(root, request, found.left_out)
            root = inner
    _read_layout(root, request, found)


def _read_layout(root: Path, request: Request, found: Found) -> None:
    folders = list_folders(root, request)
    layout = request.layout
    if layout is Layout.TABLE or (layout is Layout.AUTO and request.names_columns):
        read_table(_only_table(_tables(root, request), request), request, found)
        return
    if request.names_columns:
        raise RequestError(f"--image-column and --label-column are for tables: omit them with --layout {layout}")
    if layout in (Layout.AUTO, Layout.SPLIT) and is_split(root, folders, request):
        list_folders(root, request, found.left_out)
        read_split(root, folders, request, found)
        return
    if layout is Layout.AUTO:
        if (table := _table_of(root, folders, request)) is not None:
            read_table(table, request, found)
            return
        check_no_split([folder for folder in folders if has_images(root, folder, request)], request)
    read_label_folders(root, request, found)


def _is_wrapped_split(inner: Path, request: Request) -> bool:
    folders = list_folders(inner, request)
    return len({subset_of(folder) for folder in folders} - {None}) > 1 and is_split(inner, folders, request)


def _table_of(root: Path, folders: Sequence[str], request: Request) -> Table | None:
    """Return the table with the labels of a directory; None if the folders are the labels.

    Raises
    ------
    RequestError
        If the table and the folders could both be the labels, or several tables or columns could.
    """
    paths = _tables(root, request)
    classes = [folder for folder in folders if has_images(root, folder, request)]
    if len(classes) > 1 and any(subset_of(folder) is None for folder in classes):
        if (table := next((path for path in paths if _labels_images(path, request)), None)) is not None:
            raise RequestError(
                f"{request.address}: {table.name} lists images, and {classes[0]}/ and {classes[1]}/ look like classes: "
                "type --layout table or --layout classes"
            )
        return None
    return _only_table(paths, request) if paths else None


def _tables(root: Path, request: Request) -> list[Path]:
    return [
        path
        for path in sorted(root.iterdir())
        if tables.is_table(path.name) and not request.ignored.reason("", path.name) and path.is_file()
    ]


def _labels_images(path: Path, request: Request) -> bool:
    try:
        table = tables.open_table(path)
        return tables.is_recognised(table) and fits(table, request)
    except RequestError:
        return False  # an unrelated file among label folders


def _only_table(paths: Sequence[Path], request: Request) -> Table:
    """Return the table of labels among `paths`: the only one, or the only one with known column names."""
    if not paths:
        raise RequestError(
            f"{request.address}: no table of labels in it: expected one file of {', '.join(sorted(tables.SUFFIXES))}"
        )
    found = [tables.open_table(path) for path in paths]
    known = [table for table in found if tables.is_recognised(table)] or found
    if len(known) > 1:
        names = " or ".join(f"--data {table.path}" for table in known[:3])
        raise RequestError(f"{request.address}: {len(known)} tables could have the labels: type {names}")
    return known[0]
