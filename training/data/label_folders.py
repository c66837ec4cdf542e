"""Label folders: the name of a folder is the class of all images in it."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from sparkdl.formats.image_files import find_images, is_image, list_images, read_head
from sparkdl.images.labels import label_of_folder
from sparkdl.system.directory_walk import stat_regular
from sparkdl.system.left_out import LeftOut, Why
from training.data.dataset import LabelledImage
from training.data.found import Found
from training.data.names import valid
from training.data.request import Request


def list_folders(directory: Path, request: Request, left_out: LeftOut | None = None, *, below: str = "") -> list[str]:
    """List the folders directly in a directory by name, sorted; links to folders are followed.

    Files next to them are added to `left_out`.

    Parameters
    ----------
    below
        The folder of `directory` to list, with a trailing slash.
    """
    found, passed = [], LeftOut() if left_out is None else left_out

    def leave_out(why: Why, name: str, error: OSError | None) -> None:
        passed.add(why, f"{name}: {error.strerror}" if error else name)

    for entry in sorted(os.scandir(directory / below), key=lambda entry: entry.name):
        name = f"{below}{entry.name}"
        try:
            is_folder = entry.is_dir()
        except OSError:  # a broken link: `stat_regular` decides whether it counts
            is_folder = False
        if why := request.ignored.reason(below, entry.name, is_folder=is_folder):
            leave_out(why, f"{name}/" if is_folder else name, None)
        elif is_folder:
            found.append(entry.name)
        elif stat_regular(name, entry, leave_out) is not None:
            leave_out(_reason_of_loose(entry), name, None)
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
        The folder of `root` that contains the label folders, with a trailing slash.
    subset
        The subset that they belong to.
    """
    folders = list_folders(root, request, found.left_out, below=below)
    for folder in folders:
        label = label_of_folder(folder)
        for name in list_images(root, found.left_out, request.ignored, below=f"{below}{folder}/"):
            found.images.append(LabelledImage(valid(name), label, root / name, subset=subset))
    _note_spellings(folders, below, found)


def _note_spellings(folders: Iterable[str], below: str, found: Found) -> None:
    spellings: dict[str, int] = defaultdict(int)
    for folder in folders:
        spellings[label_of_folder(folder)] += 1
    found.notes += (
        f"{count} folders are one class, {below}{label}: their names differ only in how Unicode composes letters"
        for label, count in spellings.items()
        if count > 1
    )


def has_images(root: Path, folder: str, request: Request) -> bool:
    """Whether a folder of `root` contains images at any depth."""
    return any(True for _ in find_images(root, None, request.ignored, below=f"{folder}/"))
