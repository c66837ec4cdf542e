"""Label folders: the name of a folder is the class of all images in it."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from sparkdl.formats.image_files import find_images, is_image, list_images, read_head
from sparkdl.system.directory_walk import stat_regular
from sparkdl.system.left_out import LeftOut, Why
from training.data.dataset import LabelledImage
from training.data.found import Found
from training.data.names import valid, valid_label
from training.data.request import Request


def list_folders(directory: Path, request: Request, left_out: LeftOut | None = None, *, below: str = "") -> list[str]:
    """List the folders directly in a directory by name, sorted; links to folders are followed.

    Files beside them are added to `left_out`.

    Parameters
    ----------
    below
        The folder of `directory` to list, with a slash at its end.
    """
    found = []
    for entry in sorted(os.scandir(directory / below), key=lambda entry: entry.name):
        name, is_folder = f"{below}{entry.name}", entry.is_dir()
        why = request.ignored.reason(below, entry.name, is_folder=is_folder)
        if is_folder and why is None:
            found.append(entry.name)
        elif left_out is not None and (why or stat_regular(name, entry) is not None):
            left_out.add(why or _reason_of_loose(entry), f"{name}/" if is_folder else name)
    return found


def _reason_of_loose(entry: os.DirEntry[str]) -> Why:
    try:
        return Why.UNLABELLED if is_image(entry.name, read_head(entry.path)) else Why.NOT_IMAGE
    except OSError:
        return Why.UNREADABLE


def read_label_folders(root: Path, request: Request, found: Found, *, below: str = "", subset: str = "") -> None:
    """Add the images of the label folders in a directory.

    Parameters
    ----------
    below
        The folder of `root` that has the label folders, with a slash at its end.
    subset
        The subset that they belong to.
    """
    folders = list_folders(root, request, found.left_out, below=below)
    for folder in folders:
        label = valid_label(folder)
        for name in list_images(root, found.left_out, request.ignored, below=f"{below}{folder}/"):
            found.images.append(LabelledImage(valid(name), label, root / name, subset=subset))
    _note_spellings(folders, below, found)


def _note_spellings(folders: Iterable[str], below: str, found: Found) -> None:
    spellings: dict[str, int] = defaultdict(int)
    for folder in folders:
        spellings[valid_label(folder)] += 1
    found.notes += (
        f"{count} folders are one class, {below}{label}: their names differ only in how Unicode composes letters"
        for label, count in spellings.items()
        if count > 1
    )


def has_images(root: Path, folder: str, request: Request) -> bool:
    """Whether a folder of `root` has images at any depth."""
    return any(True for _ in find_images(root, None, request.ignored, below=f"{folder}/"))
