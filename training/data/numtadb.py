"""NumtaDB's official layout: folders `training-a` to `-e` and `testing-a` to `-f`, and a CSV of labels beside each.

The testing sets are published without labels; `testing-auga` and `-augc` are augmented versions of others. The CSVs
have different columns in different orders: `filename` and `digit` are found by name.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from pathlib import Path

from sparkdl.images.labels import MAX_LABEL_LENGTH
from training.data.dataset import BAD_LABEL, Dataset, LabelledImage
from training.data.image_files import SUFFIXES, is_hidden, list_folders

_SET = re.compile(r"(training|testing)-(aug)?[a-f]\d?", re.IGNORECASE)
_FILENAME, _DIGIT = "filename", "digit"


def is_numtadb(root: Path) -> bool:
    """Whether a directory has a NumtaDB CSV, or only NumtaDB folders."""
    folders = list_folders(root)
    return bool(_tables(root)) or (bool(folders) and all(_SET.fullmatch(folder.name) for folder in folders))


def read_numtadb(address: str, root: Path, *, require_labels: bool) -> Dataset:
    """Read the sets that are in `root`; missing, broken and unlabelled ones are listed as problems.

    Without `require_labels`, images without a label get the label "".
    """
    reading = _Reading(require_labels)
    folders = {folder.name.lower(): folder for folder in list_folders(root) if _SET.fullmatch(folder.name)}
    for table in _tables(root):
        name = table.stem.lower()
        if reading.table(table, name, folders.get(name)) or require_labels:
            folders.pop(name, None)
    reading.rest(folders)
    return Dataset(address, tuple(reading.images), tuple(reading.problems))


def _tables(root: Path) -> list[Path]:
    return sorted(
        path
        for path in root.iterdir()
        if path.suffix.lower() == ".csv" and _SET.fullmatch(path.stem) and path.is_file()
    )


@dataclass
class _Reading:
    """The images and problems found so far."""

    require_labels: bool
    images: list[LabelledImage] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def table(self, table: Path, name: str, folder: Path | None) -> bool:
        """Read one set; return whether its table describes its images."""
        rows = _Rows(self, table, name, {} if folder is None else _files(folder))
        try:
            with table.open(newline="", encoding="utf-8-sig") as file:
                known = rows.read(csv.DictReader(file))
        except (csv.Error, UnicodeDecodeError, OSError) as error:
            self.problems.append(f"{table.name} cannot be read to its end: {getattr(error, 'strerror', None) or error}")
            return True
        if rows.absent:
            self.problems.append(f"{table.name}: no images in {name} beside it, {_images(rows.absent)} missing")
        if known:
            rows.add_unlisted()
        return known

    def rest(self, folders: dict[str, Path]) -> None:
        """Read the sets without a table."""
        testing = []
        for name, folder in sorted(folders.items()):
            files = _files(folder)
            if not self.require_labels:
                self.images += (LabelledImage(f"{name}/{file}", "", path) for file, path in sorted(files.items()))
            elif name.startswith("testing"):
                testing.append((name, len(files)))
            else:
                self.problems.append(f"{name}: {_images(len(files))} without labels, because {name}.csv is missing")
        if testing:
            names = ", ".join(name for name, _ in testing)
            self.problems.append(f"{names}: {_images(sum(count for _, count in testing))} without labels")


@dataclass
class _Rows:
    """The rows of one table."""

    reading: _Reading
    table: Path
    name: str
    files: dict[str, Path]
    absent: int = 0
    taken: set[str] = field(default_factory=set)

    def read(self, rows: csv.DictReader[str]) -> bool:
        """Read all rows; return whether the required columns are present."""
        columns = [(column or "").strip().lower() for column in rows.fieldnames or ()]
        missing = {_FILENAME, _DIGIT} - set(columns)
        if missing:
            self._problem(f"{self.table.name}: no column {' or '.join(sorted(missing))}, the set is skipped")
            return False
        rows.fieldnames = columns
        folded = {file.lower(): file for file in sorted(self.files, reverse=True)}
        for row in rows:
            filename, label = ((row[column] or "").strip() for column in (_FILENAME, _DIGIT))
            named = Path(filename).name
            file = named if named in self.files else folded.get(named.lower(), named)
            self._image(f"{self.table.name}, line {rows.line_num}", file, label)
        return True

    def _image(self, where: str, file: str, label: str) -> None:
        name = f"{self.name}/{file}"
        known = file in self.files
        first = file not in self.taken
        if known:
            self.taken.add(file)
        if not file or (not label and self.reading.require_labels):
            self._problem(f"{where}: no filename or no digit")
        elif len(label) > MAX_LABEL_LENGTH:
            self._problem(f"{where}: {BAD_LABEL}")
        elif not self.files:
            self.absent += 1
        elif not known:
            self._problem(f"{name}: listed in {self.table.name}, but there is no such file")
        elif not first:
            self._problem(f"{name}: listed more than once in {self.table.name}, the first row is used")
        else:
            self.reading.images.append(LabelledImage(name, label, self.files[file]))

    def add_unlisted(self) -> None:
        """Add the images of the folder that the table does not list, or report them."""
        rest = sorted(file for file in self.files if file not in self.taken)
        if not self.reading.require_labels:
            self.reading.images += (LabelledImage(f"{self.name}/{file}", "", self.files[file]) for file in rest)
        elif rest:
            self._problem(f"{self.name}: {_images(len(rest))} not listed in {self.table.name}, such as {rest[0]}")

    def _problem(self, words: str) -> None:
        self.reading.problems.append(words)


def _files(folder: Path) -> dict[str, Path]:
    return {
        path.name: path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not is_hidden(path.name) and path.is_file()
    }


def _images(count: int) -> str:
    return f"{count} image{'s' * (count != 1)}"
