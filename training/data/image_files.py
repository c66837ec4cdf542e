"""Image files below a directory, found by their suffix."""

from __future__ import annotations

from pathlib import Path

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"})


def list_images(directory: Path) -> list[Path]:
    """The image files below `directory`, by their suffix, in a fixed order; hidden files and folders are left out."""
    return sorted(
        path
        for path in directory.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(map(is_hidden, path.relative_to(directory).parts))
        and path.is_file()
    )


def list_folders(directory: Path) -> list[Path]:
    """The folders in `directory` that are not hidden, in a fixed order."""
    return sorted(path for path in directory.iterdir() if path.is_dir() and not is_hidden(path.name))


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is none of a data set's."""
    return name.startswith((".", "_"))


def valid(name: str) -> str:
    """`name` as valid Unicode: of a file's name, bytes that are not UTF-8 as their escapes."""
    return name.encode("utf-8", "backslashreplace").decode()
