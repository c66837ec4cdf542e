"""NumtaDB's official layout: folders `training-a` to `-e` and `testing-a` to `-f`, and a CSV of labels beside each.

The testing sets are given out without labels, `testing-auga` and `-augc` are made of others. The CSVs have different
columns in different orders: `filename` and `digit` are found by name.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from pathlib import Path

from training.data.dataset import LONGEST_LABEL, NO_LABEL, Dataset, LabelledImage
from training.data.image_files import SUFFIXES, is_hidden, list_folders

_SET = re.compile(r"(training|testing)-(aug)?[a-f]\d?", re.IGNORECASE)
_FILENAME, _DIGIT = "filename", "digit"


def is_numtadb(root: Path) -> bool:
    """Whether a directory has a CSV of NumtaDB's, or no folders but NumtaDB's."""
    folders = list_folders(root)
    return bool(_tables(root)) or (bool(folders) and all(_SET.fullmatch(folder.name) for folder in folders))


def read_numtadb(address: str, root: Path, *, labelled: bool) -> Dataset:
    """Whatever there is of the sets in `root`; what is missing, broken or not labelled is named among the problems.

    Not `labelled`: images without a label have the label "".
    """
    reading = _Reading(labelled)
    folders = {folder.name.lower(): folder for folder in list_folders(root) if _SET.fullmatch(folder.name)}
    for table in _tables(root):
        name = table.stem.lower()
        if reading.table(table, name, folders.get(name)) or labelled:
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
    """What was read so far."""

    labelled: bool
    images: list[LabelledImage] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def table(self, table: Path, name: str, folder: Path | None) -> bool:
        """Reads one set; whether its table says anything of its images."""
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
            rows.unnamed()
        return known

    def rest(self, folders: dict[str, Path]) -> None:
        """The sets that have no table."""
        testing = []
        for name, folder in sorted(folders.items()):
            files = _files(folder)
            if not self.labelled:
                self.images += (LabelledImage(f"{name}/{file}", "", path) for file, path in sorted(files.items()))
            elif name.startswith("testing"):
                testing.append((name, len(files)))
            else:
                self.problems.append(f"{name}: {_images(len(files))} without labels, for want of {name}.csv")
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
        """Whether there are the columns that are needed."""
        columns = [(column or "").strip().lower() for column in rows.fieldnames or ()]
        missing = {_FILENAME, _DIGIT} - set(columns)
        if missing:
            self._problem(f"{self.table.name}: no column {' or '.join(sorted(missing))}, the set is left out")
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
        if not file or (not label and self.reading.labelled):
            self._problem(f"{where}: no filename or no digit")
        elif len(label) > LONGEST_LABEL:
            self._problem(f"{where}: {NO_LABEL}")
        elif not self.files:
            self.absent += 1
        elif not known:
            self._problem(f"{name}: named in {self.table.name}, but there is no such file")
        elif not first:
            self._problem(f"{name}: named more than once in {self.table.name}, the first is used")
        else:
            self.reading.images.append(LabelledImage(name, label, self.files[file]))

    def unnamed(self) -> None:
        """The images of the folder that the table has not named."""
        rest = sorted(file for file in self.files if file not in self.taken)
        if not self.reading.labelled:
            self.reading.images += (LabelledImage(f"{self.name}/{file}", "", self.files[file]) for file in rest)
        elif rest:
            self._problem(f"{self.name}: {_images(len(rest))} that {self.table.name} does not name, such as {rest[0]}")

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
