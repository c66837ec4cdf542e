"""Images labelled by a table: the table is in the same folder as the images, or above their folders.

A table is untrusted: its names only select from the listed files, so no name leads out of the directory.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from sparkdl.errors import RequestError
from sparkdl.formats.image_files import SUFFIXES, list_images
from sparkdl.images.labels import MAX_LABEL_LENGTH
from sparkdl.system.left_out import NamedCount
from training.data import tables
from training.data.dataset import LabelledImage
from training.data.found import Found
from training.data.names import valid, valid_label
from training.data.request import Request
from training.data.split_folders import subset_of
from training.data.tables import Table

_TRIED = 100  # rows


def read_table(table: Table, request: Request, found: Found) -> None:
    """Add the images in the directory of `table` that it lists.

    Raises
    ------
    RequestError
        If a column is missing or ambiguous, or the table cannot be read to its end.
    """
    image = tables.image_column(table, request.image_column)
    label = tables.label_column(table, request.label_column, required=request.require_labels)
    subset = _subset_column(table)
    root = table.path.parent
    files = list_images(root, found.left_out, request.ignored, others={table.path.name})
    reading = _Reading(table, request, FileIndex(files))
    for number, row in table.rows():
        reading.row(number, *("" if column is None else row.get(column, "") for column in (image, label, subset)))
    reading.finish(root, files, found)
    columns = [("file", image), ("label", label), ("subset", subset)]
    used = ", ".join(f"{what} from column {column!r}" for what, column in columns if column is not None)
    found.notes.append(f"labels from {table.path.name}: {used}")


def fits(table: Table, request: Request) -> bool:
    """Whether one of the first rows of a table names an image below its directory."""
    column = tables.image_column(table, None)
    index = FileIndex(list_images(table.path.parent, None, request.ignored))
    first = itertools.islice(table.rows(), _TRIED)
    return any(len(index.find(row.get(column, ""))) == 1 for _, row in first)


def _subset_column(table: Table) -> str | None:
    """Return the column of subsets; None if there is none or it has another meaning.

    Raises
    ------
    RequestError
        If only some of its values name a subset.
    """
    column = tables.subset_column(table)
    values = {row.get(column, "") for _, row in table.rows()} if column is not None else set()
    unknown = sorted(value for value in values if subset_of(value) is None)
    if column is None or len(unknown) == len(values):
        return None
    if unknown:
        raise RequestError(
            f"{table.path.name}: expected train, val or test in column {column!r}, received {unknown[0][:40]!r}: "
            "correct it, or rename the column if it is not a split"
        )
    return column


class FileIndex:
    """Finds listed files by the names in a table.

    A name matches a file of this name, whatever the letter case, or of this name and the suffix of an image. Folders
    before it must agree, as far as both have them: `images/1.png` matches `data/images/1.png` and `1.png`, but not
    `masks/1.png`.
    """

    def __init__(self, files: Sequence[str]) -> None:
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for file in files:
            name = PurePosixPath(file).name
            stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix
            self._by_name[_folded(name)].append(file)
            if suffix.lower() in SUFFIXES:
                self._by_stem[_folded(stem)].append(file)

    def find(self, called: str) -> list[str]:
        """Return the matching files: one, none, or several if the name is ambiguous."""
        *folders, name = [part for part in _folded(called).replace("\\", "/").split("/") if part != "."] or [""]
        candidates = self._by_name.get(name) or self._by_stem.get(name) or []
        fitting = [file for file in candidates if _agree(_folded(file).split("/")[:-1], [f for f in folders if f])]
        exact = [file for file in fitting if _composed(file) == _composed(called)]
        return exact if len(exact) == 1 else fitting


def _agree(folders: Sequence[str], others: Sequence[str]) -> bool:
    count = min(len(folders), len(others))
    return not count or list(folders[-count:]) == list(others[-count:])


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _folded(text: str) -> str:
    return _composed(text).lower()


@dataclass
class _Reading:
    """The rows of a table that were read so far."""

    table: Table
    request: Request
    index: FileIndex
    labels: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    faults: dict[str, NamedCount] = field(default_factory=dict)

    def row(self, number: int, called: str, label: str, subset: str) -> None:
        files = self.index.find(called) if called else []
        label = valid_label(label)
        if not called:
            self._fault("rows without a file name", f"line {number}")
        elif not label and self.request.require_labels:
            self._fault("rows without a label", called)
        elif len(label) > MAX_LABEL_LENGTH:
            self._fault(f"rows whose label has more than {MAX_LABEL_LENGTH} characters", called)
        elif len(files) != 1:
            self._fault("rows that fit several files" if files else "rows whose file is not there", called)
        else:
            self.labels[files[0]].append((label, subset_of(subset) or ""))

    def finish(self, root: Path, files: Sequence[str], found: Found) -> None:
        """Add the images, and the faults as problems."""
        for file in files:
            rows = self.labels.get(file, [])
            if len(set(rows)) > 1:
                self._fault("files that are listed with different labels, not used", file)
                continue
            if len(rows) > 1:
                self._fault("files that are listed more than once, used once", file)
            if rows or not self.request.require_labels:
                label, subset = rows[0] if rows else ("", "")
                found.images.append(LabelledImage(valid(file), label, root / file, subset=subset))
            else:
                self._fault("images without a row", file)
        found.problems += (
            f"{self.table.path.name}: {kind}: {fault.count} ({fault.shown})" for kind, fault in self.faults.items()
        )

    def _fault(self, kind: str, name: str) -> None:
        self.faults.setdefault(kind, NamedCount()).add(name)
