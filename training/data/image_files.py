"""Image files in a directory tree, found by their suffix."""

from __future__ import annotations

from pathlib import Path

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"})


def list_images(directory: Path) -> list[Path]:
    """List the image files below `directory`, sorted; hidden files and folders are skipped."""
    return sorted(
        path
        for path in directory.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(map(is_hidden, path.relative_to(directory).parts))
        and path.is_file()
    )


def list_folders(directory: Path) -> list[Path]:
    """List the folders in `directory`, sorted; hidden ones are skipped."""
    return sorted(path for path in directory.iterdir() if path.is_dir() and not is_hidden(path.name))


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is not part of a dataset."""
    return name.startswith((".", "_"))


def valid(name: str) -> str:
    """Return `name` as valid Unicode: bytes of a file name that are not UTF-8 become escapes."""
    return name.encode("utf-8", "backslashreplace").decode()
