"""Opens labelled images by address: label folders, NumtaDB's official layout, arrays, Kaggle, synthetic digits."""

from __future__ import annotations

import json
from pathlib import Path

from sparkdl.errors import RequestError
from sparkdl.images.labels import MAX_LABEL_LENGTH
from sparkdl.images.rejection import DEAD_LETTER_LIST
from training.data import kaggle, npz
from training.data.dataset import BAD_LABEL, Dataset, LabelledImage, check_seed, natural_order
from training.data.image_files import list_folders, list_images, valid
from training.data.numtadb import is_numtadb, read_numtadb
from training.data.synthetic import digits

__all__ = ["SAMPLES", "Dataset", "LabelledImage", "list_images", "natural_order", "open_dataset"]

SAMPLES = "samples"
"""The address of synthetic digits: `samples`, or `samples:N` for N images per class."""
_SAMPLES_PER_CLASS = 100


def open_dataset(address: str, seed: int = 0, *, require_labels: bool = True) -> Dataset:
    """Open the labelled images at `address`.

    Parameters
    ----------
    address
        A directory of label folders (`DIR/<label>/**/<image>`), a directory in NumtaDB's official layout
        (`training-a.csv` beside `training-a/`), a directory of exported dead letters (with their
        `dead-letters.jsonl`), a file of arrays (`FILE.npz`), `kaggle:OWNER/NAME`, `samples` or `samples:N`.
    seed
        Seed of the synthetic digits, 0 to 4294967295.
    require_labels
        Whether each image must have a label. If False, images without a label get the label "".

    Raises
    ------
    RequestError
        If the address does not exist, or contains no labelled image.
    """
    check_seed(seed)
    if address == SAMPLES or address.startswith(f"{SAMPLES}:"):
        return _draw(address, seed)
    root = kaggle.download(address) if address.startswith(kaggle.SCHEME) else Path(address)
    if root.is_dir():
        dataset = _read_directory(address, root, require_labels=require_labels)
    elif root.suffix.lower() == npz.SUFFIX and root.is_file():
        dataset = npz.read_npz(address, root, require_labels=require_labels)
    else:
        raise RequestError(
            f"no such directory of labelled images: {address} "
            f"(expected a directory, FILE{npz.SUFFIX}, {kaggle.SCHEME}OWNER/NAME, or '{SAMPLES}' for synthetic digits)"
        )
    if not dataset.images:
        count = len(dataset.problems)
        problems = f" ({count} problem{'s' * (count > 1)}, the first: {dataset.problems[0]})" if count else ""
        raise RequestError(
            f"{address}: no labelled image found{problems}; expected <label>/<image> below it, "
            "or NumtaDB's training-a.csv beside training-a/"
        )
    return dataset


def _read_directory(address: str, root: Path, *, require_labels: bool) -> Dataset:
    if (root / DEAD_LETTER_LIST).is_file():
        return _read_export(address, root, require_labels=require_labels)
    if is_numtadb(root):
        return read_numtadb(address, root, require_labels=require_labels)
    folders = list_folders(root)
    if len(folders) == 1 and is_numtadb(folders[0]):  # some of its archives have one folder around everything
        return read_numtadb(address, folders[0], require_labels=require_labels)
    return _read_folders(address, root)


def _read_folders(address: str, root: Path) -> Dataset:
    return Dataset(
        address,
        tuple(
            LabelledImage(valid(path.relative_to(root).as_posix()), valid(folder.name), path)
            for folder in list_folders(root)
            for path in list_images(folder)
        ),
    )


def _read_export(address: str, root: Path, *, require_labels: bool) -> Dataset:
    """Read an export of `streaming.readers.export`: a line per dead letter, with its file's name if it has a file."""
    images, problems = [], []
    for number, line in enumerate((root / DEAD_LETTER_LIST).read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            name, label = row["file"], row["label"] or ""
        except (ValueError, KeyError, TypeError, RecursionError):
            problems.append(f"{DEAD_LETTER_LIST}, line {number}: not a dead letter")
            continue
        if name is None:
            continue
        if not isinstance(name, str) or Path(name).name != name or not _is_own_file(root / name):
            problems.append(f"{DEAD_LETTER_LIST}, line {number}: no file {name} beside it")
        elif require_labels and not label:
            problems.append(f"{name}: it has no label")
        elif not isinstance(label, str) or len(label) > MAX_LABEL_LENGTH:
            problems.append(f"{name}: {BAD_LABEL}")
        else:
            images.append(LabelledImage(name, valid(label), root / name))
    return Dataset(address, tuple(images), tuple(problems))


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
