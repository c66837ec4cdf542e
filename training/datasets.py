"""Labelled images: label folders, NumtaDB's official layout, or drawn samples, under one address."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from sklearn.model_selection import train_test_split

from sparkdl.errors import RequestError
from training import samples

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"})
EXPORT_LIST = "dead-letters.jsonl"
"""Stands beside exported dead letters and lists them."""

SAMPLES = "samples"
"""The address of drawn samples: `samples`, or `samples:N` for N images a class."""
_SAMPLES_A_CLASS = 100
_LONGEST_LABEL = 256  # characters, as the stream reads of a message
_NO_LABEL = f"its label is no text of at most {_LONGEST_LABEL} characters"
_OFFICIAL_SET = re.compile(r"(training|testing)-[a-f]\d?\.csv")


@dataclass(frozen=True)
class LabelledImage:
    """One image and its class: a file, or bytes that were drawn."""

    name: str
    label: str
    path: Path | None = None
    payload: bytes | None = None

    def read(self) -> bytes:
        """The encoded image."""
        if self.payload is not None:
            return self.payload
        assert self.path is not None  # an image is either a file or bytes
        return self.path.read_bytes()


@dataclass(frozen=True)
class Dataset:
    """Labelled images in a fixed order.

    Attributes
    ----------
    address
        Where they come from, as the user named it.
    images
        At least one.
    problems
        A line for each image that is named but cannot be used, such as a file missing beside its CSV.
    """

    address: str
    images: tuple[LabelledImage, ...]
    problems: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[LabelledImage]:
        return iter(self.images)

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels that occur, numbers in the order of their values."""
        return tuple(sorted({image.label for image in self.images}, key=natural_order))

    @property
    def counts(self) -> dict[str, int]:
        """Images a class, in the order of `classes`."""
        counted = Counter(image.label for image in self.images)
        return {label: counted[label] for label in self.classes}

    def digest(self) -> str:
        """SHA-256, hexadecimal, over names, labels and contents."""
        total = hashlib.sha256()
        for image in self.images:
            content = hashlib.sha256(image.read()).hexdigest()
            total.update(f"{image.name}\0{image.label}\0{content}\n".encode())
        return total.hexdigest()

    def split(self, test_fraction: float, seed: int) -> tuple[Dataset, Dataset]:
        """A stratified split into a part to train on and a part to test on; the same seed gives the same split.

        Raises
        ------
        RequestError
            If a class has fewer than two images, or too few for both parts to have one.
        """
        _check_seed(seed)
        if not 0 < test_fraction < 1:
            raise RequestError(f"expected a test fraction between 0 and 1, received {test_fraction}")
        if len(self.classes) < 2:
            raise RequestError(f"{self.address}: expected at least two classes, found only {self.classes[0]!r}")
        for label, count in self.counts.items():
            if count < 2:
                raise RequestError(
                    f"{self.address}: class {label!r} has one image; at least two are needed, "
                    "one to train on and one to test on"
                )
        tested = math.ceil(len(self) * test_fraction)
        if min(tested, len(self) - tested) < len(self.classes):
            raise RequestError(
                f"{self.address}: a test fraction of {test_fraction} of {len(self)} images cannot hold "
                f"all {len(self.classes)} classes in both parts"
            )
        train, test = train_test_split(
            list(self.images),
            test_size=tested,
            stratify=[image.label for image in self.images],
            random_state=seed,
        )
        parts = replace(self, images=tuple(train)), replace(self, images=tuple(test))
        for label, count in self.counts.items():
            if any(label not in part.classes for part in parts):
                raise RequestError(
                    f"{self.address}: class {label!r} has {count} of {len(self)} images; at a test fraction of "
                    f"{test_fraction} that is too few to have one in both parts"
                )
        return parts


def natural_order(label: str) -> tuple[int, int, str]:
    """A sort key: whole numbers by value, before all other names."""
    return (0, int(label), label) if label.isdecimal() else (1, 0, label)


def open_dataset(address: str, seed: int = 0, *, labelled: bool = True) -> Dataset:
    """The labelled images at `address`.

    Parameters
    ----------
    address
        A directory of label folders (`DIR/<label>/**/<image>`), a directory in NumtaDB's official layout
        (`training-a.csv` beside `training-a/`), a directory of exported dead letters (`dead-letters.jsonl` beside
        them), `samples` or `samples:N`.
    seed
        Of drawn samples.
    labelled
        Whether each image must have a label; without it, what has none has the label "".

    Raises
    ------
    RequestError
        If there is no such directory or no labelled image in it.
    """
    _check_seed(seed)
    if address == SAMPLES or address.startswith(f"{SAMPLES}:"):
        return _draw(address, seed)
    root = Path(address)
    if not root.is_dir():
        raise RequestError(
            f"no such directory of labelled images: {address} (expected a directory, or '{SAMPLES}' for drawn digits)"
        )
    tables = sorted(path for path in root.iterdir() if _OFFICIAL_SET.fullmatch(path.name))
    if (root / EXPORT_LIST).is_file():
        dataset = _read_export(address, root, labelled=labelled)
    else:
        dataset = _read_official(address, root, tables) if tables else _read_folders(address, root)
    if not dataset.images:
        problems = f" ({len(dataset.problems)} problems, the first: {dataset.problems[0]})" if dataset.problems else ""
        raise RequestError(
            f"{address}: no labelled image found{problems}; expected <label>/<image> below it, "
            "or NumtaDB's training-a.csv beside training-a/"
        )
    return dataset


def _check_seed(seed: int) -> None:
    if not 0 <= seed < 2**32:
        raise RequestError(f"expected a seed from 0 to 4294967295, received {seed}")


def _read_folders(address: str, root: Path) -> Dataset:
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not _is_hidden(path.name))
    return Dataset(
        address,
        tuple(
            LabelledImage(_valid(path.relative_to(root).as_posix()), _valid(folder.name), path)
            for folder in folders
            for path in list_images(folder)
        ),
    )


def _valid(name: str) -> str:
    """`name` as valid Unicode: of a file's name, bytes that are not UTF-8 as their escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def list_images(directory: Path) -> list[Path]:
    """The image files below `directory`, by their suffix, in a fixed order; hidden files and folders are left out."""
    return sorted(
        path
        for path in directory.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(map(_is_hidden, path.relative_to(directory).parts))
        and path.is_file()
    )


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "_"))


def _read_official(address: str, root: Path, tables: list[Path]) -> Dataset:
    """The sets' CSVs have different columns in different orders: `filename` and `digit` are found by name."""
    images: list[LabelledImage] = []
    problems: list[str] = []
    for table in tables:
        try:
            _read_table(root, table, images, problems)
        except (csv.Error, UnicodeDecodeError) as error:
            problems.append(f"{table.name} cannot be read to its end: {error}")
    return Dataset(address, tuple(images), tuple(problems))


def _read_table(root: Path, table: Path, images: list[LabelledImage], problems: list[str]) -> None:
    with table.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        missing = {"filename", "digit"} - set(rows.fieldnames or ())
        if missing:
            problems.append(f"{table.name}: no column {' or '.join(sorted(missing))}, the set is left out")
            return
        for row in rows:
            filename, label = ((row[column] or "").strip() for column in ("filename", "digit"))
            name = f"{table.stem}/{filename}"
            path = root / table.stem / Path(filename).name
            if not filename or not label:
                problems.append(f"{table.name}, line {rows.line_num}: no filename or no digit")
            elif len(label) > _LONGEST_LABEL:
                problems.append(f"{table.name}, line {rows.line_num}: {_NO_LABEL}")
            elif path.is_file():
                images.append(LabelledImage(name, label, path))
            else:
                problems.append(f"{name}: named in {table.name}, but there is no such file")


def _read_export(address: str, root: Path, *, labelled: bool) -> Dataset:
    """What `streaming.export` has written: a line for each dead letter, with the name of its file if it has one."""
    images, problems = [], []
    for number, line in enumerate((root / EXPORT_LIST).read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            name, label = row["file"], row["label"] or ""
        except (ValueError, KeyError, TypeError, RecursionError):
            problems.append(f"{EXPORT_LIST}, line {number}: no dead letter")
            continue
        if name is None:
            continue
        if not isinstance(name, str) or Path(name).name != name or not _is_own_file(root / name):
            problems.append(f"{EXPORT_LIST}, line {number}: no file {name} beside it")
        elif labelled and not label:
            problems.append(f"{name}: it has no label")
        elif not isinstance(label, str) or len(label) > _LONGEST_LABEL:
            problems.append(f"{name}: {_NO_LABEL}")
        else:
            images.append(LabelledImage(name, _valid(label), root / name))
    return Dataset(address, tuple(images), tuple(problems))


def _is_own_file(path: Path) -> bool:
    """Whether there is a file that is not a link: an export has none, and where one leads is for no list to say."""
    return path.is_file() and not path.is_symlink()


def _draw(address: str, seed: int) -> Dataset:
    _, _, number = address.partition(":")
    if number and not (number.isdecimal() and int(number) > 0):
        raise RequestError(f"expected 'samples' or 'samples:N' with N images a class, received {address!r}")
    each = int(number) if number else _SAMPLES_A_CLASS
    images = [
        LabelledImage(
            f"{digit}/{digit}-{index:05d}.png", str(digit), payload=samples.draw_png(digit, seed * 1_000_003 + index)
        )
        for digit in range(10)
        for index in range(each)
    ]
    return Dataset(address, tuple(images))
