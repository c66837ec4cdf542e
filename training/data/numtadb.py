"""NumtaDB's official layout: folders `training-a` to `-e` and `testing-a` to `-f`, each with a CSV of labels.

The testing sets are published without labels; `testing-auga` and `-augc` are augmented versions of others. The CSVs
have different columns in different orders: `filename` and `digit` are found by name.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from pathlib import Path

from sparkdl.formats.image_files import list_images
from sparkdl.images.labels import MAX_LABEL_LENGTH
from sparkdl.system.left_out import Why
from training.data.dataset import BAD_LABEL, LabelledImage
from training.data.found import Found
from training.data.label_folders import list_folders
from training.data.names import valid_label
from training.data.request import Request

_SET = re.compile(r"(training|testing)-(aug)?[a-f]\d?", re.IGNORECASE)
_FILENAME, _DIGIT = "filename", "digit"


def is_numtadb(root: Path, request: Request) -> bool:
    """Whether a directory has a NumtaDB CSV, or only NumtaDB folders."""
    folders = list_folders(root, request)
    return bool(_tables(root, request)) or (bool(folders) and all(_SET.fullmatch(folder) for folder in folders))


def read_numtadb(root: Path, request: Request, found: Found) -> None:
    """Read the sets that are in `root`; missing, broken and unlabelled ones are listed as problems.

    If labels are not required, images without one get the label "".
    """
    reading = _Reading(root, request, found)
    folders = {folder.lower(): folder for folder in list_folders(root, request) if _SET.fullmatch(folder)}
    for table in _tables(root, request):
        name = table.stem.lower()
        if reading.table(table, name, folders.get(name)) or request.require_labels:
            folders.pop(name, None)
    reading.rest(folders)


def _tables(root: Path, request: Request) -> list[Path]:
    return sorted(
        path
        for path in root.iterdir()
        if path.suffix.lower() == ".csv"
        and _SET.fullmatch(path.stem)
        and path.is_file()
        and not request.ignored.reason("", path.name)
    )


@dataclass
class _Reading:
    """The images and problems found so far."""

    root: Path
    request: Request
    found: Found

    def table(self, table: Path, name: str, folder: str | None) -> bool:
        """Read one set; return whether its table could be used."""
        rows = _Rows(self, table, name, {} if folder is None else self._files(folder))
        try:
            with table.open(newline="", encoding="utf-8-sig") as file:
                known = rows.read(csv.DictReader(file))
        except (csv.Error, UnicodeDecodeError, OSError) as error:
            self.found.problems.append(
                f"{table.name} cannot be read to its end: {getattr(error, 'strerror', None) or error}"
            )
            return True
        if rows.absent:
            self.found.problems.append(f"{table.name}: no images in {name} next to it, {_images(rows.absent)} missing")
        if known:
            rows.add_unlisted()
        return known

    def rest(self, folders: dict[str, str]) -> None:
        """Read the sets without a table."""
        testing = []
        for name, folder in sorted(folders.items()):
            files = self._files(folder)
            if not self.request.require_labels:
                self.found.images += (LabelledImage(f"{name}/{file}", "", path) for file, path in sorted(files.items()))
            elif name.startswith("testing"):
                testing.append((name, len(files)))
            else:
                self.found.problems.append(
                    f"{name}: {_images(len(files))} without labels, because {name}.csv is missing"
                )
        if testing:
            names = ", ".join(name for name, _ in testing)
            self.found.problems.append(f"{names}: {_images(sum(count for _, count in testing))} without labels")

    def _files(self, folder: str) -> dict[str, Path]:
        """Return the images directly in a folder by name."""
        names = list_images(self.root, self.found.left_out, self.request.ignored, below=f"{folder}/")
        for name in names:
            if name.count("/") > 1:
                self.found.left_out.add(Why.UNLABELLED, name)
        return {name.partition("/")[2]: self.root / name for name in names if name.count("/") == 1}


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
        if not file or (not label and self.reading.request.require_labels):
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
            self.reading.found.images.append(LabelledImage(name, valid_label(label), self.files[file]))

    def add_unlisted(self) -> None:
        """Add the images of the folder that the table does not list, or report them."""
        rest = sorted(file for file in self.files if file not in self.taken)
        if not self.reading.request.require_labels:
            self.reading.found.images += (LabelledImage(f"{self.name}/{file}", "", self.files[file]) for file in rest)
        elif rest:
            self._problem(f"{self.name}: {_images(len(rest))} not listed in {self.table.name}, such as {rest[0]}")

    def _problem(self, words: str) -> None:
        self.reading.found.problems.append(words)


def _images(count: int) -> str:
    return f"{count} image{'s' * (count != 1)}"
