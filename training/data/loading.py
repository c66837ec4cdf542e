"""Opens labelled images by their address: label folders, NumtaDB's official layout, arrays, Kaggle, drawn samples."""

from __future__ import annotations

import json
from pathlib import Path

from sparkdl.errors import RequestError
from sparkdl.images.rejection import DEAD_LETTER_LIST
from training.data import kaggle
from training.data import npz as arrays
from training.data.dataset import LONGEST_LABEL, NO_LABEL, Dataset, LabelledImage, check_seed, natural_order
from training.data.image_files import list_folders, list_images, valid
from training.data.numtadb import is_numtadb, read_numtadb
from training.data.synthetic import digits as samples

__all__ = ["SAMPLES", "Dataset", "LabelledImage", "list_images", "natural_order", "open_dataset"]

"""Stands beside exported dead letters and lists them."""

SAMPLES = "samples"
"""The address of drawn samples: `samples`, or `samples:N` for N images a class."""
_SAMPLES_A_CLASS = 100


def open_dataset(address: str, seed: int = 0, *, labelled: bool = True) -> Dataset:
    """The labelled images at `address`.

    Parameters
    ----------
    address
        A directory of label folders (`DIR/<label>/**/<image>`), a directory in NumtaDB's official layout
        (`training-a.csv` beside `training-a/`), a directory of exported dead letters (`dead-letters.jsonl` beside
        them), a file of arrays (`FILE.npz`), `kaggle:OWNER/NAME`, `samples` or `samples:N`.
    seed
        Of drawn samples.
    labelled
        Whether each image must have a label; without it, what has none has the label "".

    Raises
    ------
    RequestError
        If there is nothing at the address, or no labelled image in it.
    """
    check_seed(seed)
    if address == SAMPLES or address.startswith(f"{SAMPLES}:"):
        return _draw(address, seed)
    root = kaggle.download(address) if address.startswith(kaggle.SCHEME) else Path(address)
    if root.is_dir():
        dataset = _read_directory(address, root, labelled=labelled)
    elif root.suffix.lower() == arrays.SUFFIX and root.is_file():
        dataset = arrays.read_arrays(address, root, labelled=labelled)
    else:
        raise RequestError(
            f"no such directory of labelled images: {address} "
            f"(expected a directory, FILE{arrays.SUFFIX}, {kaggle.SCHEME}OWNER/NAME, or '{SAMPLES}' for drawn digits)"
        )
    if not dataset.images:
        count = len(dataset.problems)
        problems = f" ({count} problem{'s' * (count > 1)}, the first: {dataset.problems[0]})" if count else ""
        raise RequestError(
            f"{address}: no labelled image found{problems}; expected <label>/<image> below it, "
            "or NumtaDB's training-a.csv beside training-a/"
        )
    return dataset


def _read_directory(address: str, root: Path, *, labelled: bool) -> Dataset:
    if (root / DEAD_LETTER_LIST).is_file():
        return _read_export(address, root, labelled=labelled)
    if is_numtadb(root):
        return read_numtadb(address, root, labelled=labelled)
    folders = list_folders(root)
    if len(folders) == 1 and is_numtadb(folders[0]):  # as some archives of it are unpacked
        return read_numtadb(address, folders[0], labelled=labelled)
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


def _read_export(address: str, root: Path, *, labelled: bool) -> Dataset:
    """What `streaming.readers.export` has written: a line for each dead letter, with the name of its file if it has
    one.
    """
    images, problems = [], []
    for number, line in enumerate((root / DEAD_LETTER_LIST).read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            name, label = row["file"], row["label"] or ""
        except (ValueError, KeyError, TypeError, RecursionError):
            problems.append(f"{DEAD_LETTER_LIST}, line {number}: no dead letter")
            continue
        if name is None:
            continue
        if not isinstance(name, str) or Path(name).name != name or not _is_own_file(root / name):
            problems.append(f"{DEAD_LETTER_LIST}, line {number}: no file {name} beside it")
        elif labelled and not label:
            problems.append(f"{name}: it has no label")
        elif not isinstance(label, str) or len(label) > LONGEST_LABEL:
            problems.append(f"{name}: {NO_LABEL}")
        else:
            images.append(LabelledImage(name, valid(label), root / name))
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
