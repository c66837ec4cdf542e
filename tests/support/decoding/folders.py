"""Directories of labelled files, and what is read from them."""

from __future__ import annotations

import os
from pathlib import Path

from training.data.loading import Dataset


def write_files(root: Path, *names: str) -> Path:
    """Files with their own names as content: whether they are images is nobody's business here."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return root


def labelled(dataset: Dataset) -> dict[str, str]:
    return {image.name: image.label for image in dataset}


LONGEST_PATH = 4095
"""Bytes of a path that Linux opens."""


def bury(root: Path, payload: bytes) -> None:
    """Write a file below `root` so deep in folders that no path leads there: each folder is opened from its parent."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(LONGEST_PATH // 250 + 1):
        os.mkdir("d" * 250, dir_fd=folder)
        inner = os.open("d" * 250, os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
        os.close(folder)
        folder = inner
    with os.fdopen(os.open("deep.png", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=folder), "wb") as file:
        file.write(payload)
    os.close(folder)
