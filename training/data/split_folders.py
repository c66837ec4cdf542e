"""The layout `train/ val/ test/`: one folder of label folders per subset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sparkdl.errors import RequestError
from sparkdl.system.left_out import Why
from training.data.dataset import Subset
from training.data.found import Found
from training.data.label_folders import has_images, list_folders, read_label_folders
from training.data.request import Layout, Request

_ROLES = {
    "train": Subset.TRAIN,
    "training": Subset.TRAIN,
    "val": Subset.VAL,
    "valid": Subset.VAL,
    "validation": Subset.VAL,
    "test": Subset.TEST,
    "testing": Subset.TEST,
}


def subset_of(name: str) -> Subset | None:
    """Return the subset that a folder or a table names, in any letter case; None if it names none."""
    return _ROLES.get(name.strip().lower())


def is_split(root: Path, folders: Sequence[str], request: Request) -> bool:
    """Whether the folders of a directory are a split.

    Raises
    ------
    RequestError
        If they could be a split or classes.
    """
    parts = [folder for folder in folders if subset_of(folder)]
    if request.layout is Layout.SPLIT:
        if not parts:
            raise RequestError(f"{request.address}: --layout split: expected folders train, val or test in it")
        return True
    if len({subset_of(part) for part in parts}) < 2 and len(folders) != len(parts):
        return False
    with_classes = [part for part in parts if _has_class_folders(root, part, request)]
    if not with_classes:
        return False
    others = [folder for folder in folders if folder not in parts and has_images(root, folder, request)]
    if others:
        raise RequestError(
            f"{request.address}: {_listed(parts)} look like a split, but {_listed(others)} next to them like classes: "
            "type --layout classes if all are classes, or --layout split to leave the others out"
        )
    return True


def check_no_split(folders: Sequence[str], request: Request) -> None:
    """Refuse folders named as a split that hold images without label folders.

    Raises
    ------
    RequestError
        If all folders, of at least two kinds, are named so.
    """
    subsets = {subset_of(folder) for folder in folders}
    if len(subsets) > 1 and None not in subsets:
        raise RequestError(
            f"{request.address}: {_listed(folders)} look like a split, but have no label folders: expected "
            f"{folders[0]}/<label>/<image>, or a table of labels (--label-column); type --layout classes if these are "
            "the classes"
        )


def read_split(root: Path, folders: Sequence[str], request: Request, found: Found) -> None:
    """Add the images of `<subset>/<label>/**/<image>`."""
    for folder in folders:
        if subset := subset_of(folder):
            read_label_folders(root, request, found, below=f"{folder}/", subset=subset)
        elif has_images(root, folder, request):
            found.left_out.add(Why.UNLABELLED, f"{folder}/")


def _has_class_folders(root: Path, part: str, request: Request) -> bool:
    return any(
        has_images(root, f"{part}/{folder}", request) for folder in list_folders(root, request, below=f"{part}/")
    )


def _listed(folders: Sequence[str]) -> str:
    return ", ".join(f"{folder}/" for folder in folders[:4]) + (", ..." if len(folders) > 4 else "")
