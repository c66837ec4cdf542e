"""Opens labelled images by address: directories, tables, arrays, Kaggle, exported dead letters, synthetic digits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from sparkdl.errors import RequestError
from sparkdl.images.labels import MAX_LABEL_LENGTH
from sparkdl.images.rejection import DEAD_LETTER_LIST
from sparkdl.system.ignored_names import IgnoredNames
from training.data import kaggle, npz
from training.data.dataset import BAD_LABEL, Dataset, LabelledImage, check_seed, natural_order
from training.data.found import Found
from training.data.layouts import read_directory
from training.data.names import valid_label
from training.data.request import Layout, Request
from training.data.synthetic import digits
from training.data.tables import is_table

__all__ = ["SAMPLES", "Dataset", "LabelledImage", "Layout", "natural_order", "open_dataset"]

SAMPLES = "samples"
"""The address of synthetic digits: `samples`, or `samples:N` for N images per class."""
_SAMPLES_PER_CLASS = 100


def open_dataset(
    address: str,
    seed: int = 0,
    *,
    require_labels: bool = True,
    ignore: Sequence[str] = (),
    layout: Layout = Layout.AUTO,
    image_column: str | None = None,
    label_column: str | None = None,
) -> Dataset:
    """Open the labelled images at `address`.

    Parameters
    ----------
    address
        A directory in one of the layouts of docs/reference/data.md, a directory of exported dead letters (with their
        `dead-letters.jsonl`), a table of labels next to its images, a file of arrays (`FILE.npz`), `kaggle:OWNER/NAME`,
        `samples` or `samples:N`.
    seed
        Seed of the synthetic digits, 0 to 4294967295.
    require_labels
        Whether each image must have a label. If False, images without a label get the label "".
    ignore
        Patterns of names to ignore (`sparkdl.system.ignored_names`).
    layout
        The layout of a directory, if it cannot be recognised.
    image_column, label_column
        The columns of a table; by default they are found by their names.

    Raises
    ------
    RequestError
        If the address does not exist, contains no labelled image, or can be read in several ways.
    """
    check_seed(seed)
    request = Request(address, require_labels, IgnoredNames(ignore), layout, image_column, label_column)
    if address == SAMPLES or address.startswith(f"{SAMPLES}:"):
        _check_is_plain(request, "drawn digits")
        return _draw(address, seed)
    root = kaggle.download(address) if address.startswith(kaggle.SCHEME) else Path(address)
    try:
        dataset = _read_path(root, request)
    except OSError as error:
        raise RequestError(f"{address}: {root} cannot be read: {error.strerror or error}") from error
    if not dataset.images:
        count = len(dataset.problems)
        reasons = []
        if count:
            reasons.append(f"{count} problem{'s' * (count > 1)}, the first: {dataset.problems[0]}")
        if dataset.left_out:
            reasons.append(str(dataset.left_out))
        because = f" ({'; '.join(reasons)})" if reasons else ""
        raise RequestError(
            f"{address}: no labelled image found{because}; "
            "expected <label>/<image> below it, train/<label>/<image>, labels.csv next to the images, "
            "or NumtaDB's training-a.csv next to training-a/"
        )
    return dataset


def _check_is_plain(request: Request, what: str) -> None:
    given = {
        "--ignore": bool(request.ignored.patterns),
        "--layout": request.layout is not Layout.AUTO,
        "--image-column": request.image_column is not None,
        "--label-column": request.label_column is not None,
    }
    if flag := next((flag for flag, is_given in given.items() if is_given), None):
        raise RequestError(f"{flag} is for directories and tables: omit it for {what}, {request.address}")


def _read_path(root: Path, request: Request) -> Dataset:
    if root.is_dir() or (root.is_file() and is_table(root.name)):
        found = Found()
        is_export = root.is_dir() and request.layout is Layout.AUTO and (root / DEAD_LETTER_LIST).is_file()
        if is_export:
            _check_is_plain(request, "exported dead letters")
            _read_export(root, request, found)
        else:
            read_directory(root, request, found)
        return found.dataset(request.address)
    if root.suffix.lower() == npz.SUFFIX and root.is_file():
        _check_is_plain(request, "a file of arrays")
        return npz.read_npz(request.address, root, require_labels=request.require_labels)
    raise RequestError(
        f"no such directory of labelled images: {request.address} "
        f"(expected a directory, a table, FILE{npz.SUFFIX}, {kaggle.SCHEME}OWNER/NAME, or '{SAMPLES}' for synthetic "
        "digits)"
    )


def _read_export(root: Path, request: Request, found: Found) -> None:
    """Read an export of `streaming.readers.export`: one line per dead letter, with its file name if it has a file."""
    for number, line in enumerate((root / DEAD_LETTER_LIST).read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            name, label = row["file"], row["label"] or ""
        except (ValueError, KeyError, TypeError, RecursionError):
            found.problems.append(f"{DEAD_LETTER_LIST}, line {number}: not a dead letter")
            continue
        if name is None:
            continue
        if not isinstance(name, str) or Path(name).name != name or not _is_own_file(root / name):
            found.problems.append(f"{DEAD_LETTER_LIST}, line {number}: no file {name} next to it")
        elif request.require_labels and not label:
            found.problems.append(f"{name}: it has no label")
        elif not isinstance(label, str) or len(label) > MAX_LABEL_LENGTH:
            found.problems.append(f"{name}: {BAD_LABEL}")
        else:
            found.images.append(LabelledImage(name, valid_label(label), root / name))


def _is_own_file(path: Path) -> bool:
    """Whether the path is a regular file: an export contains no links, so a list must not follow one elsewhere."""
    return path.is_file() and not path.is_symlink()


def _draw(address: str, seed: int) -> Dataset:
    _, _, number = address.partition(":")
    if number and not (number.isdecimal() and int(number) > 0):
        raise RequestError(f"expected 'samples' or 'samples:N' with N images per class, received {address!r}")
    per_class = int(number) if number else _SAMPLES_PER_CLASS
    images = [
        LabelledImage(
            f"{digit}/{digit}-{index:05d}.png", str(digit), payload=digits.draw_png(digit, seed * 1_000_003 + index)
        )
        for digit in range(10)
        for index in range(per_class)
    ]
    return Dataset(address, tuple(images))
