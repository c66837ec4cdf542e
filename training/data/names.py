"""Names of images and classes as valid text."""

from __future__ import annotations

from sparkdl.images.labels import normalize_label


def valid(name: str) -> str:
    """Return `name` as valid Unicode: bytes of a file name that are not UTF-8 become escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def valid_label(name: str) -> str:
    """Return the label for a name from a folder, table or array: valid Unicode in composed form (NFC)."""
    return normalize_label(valid(name))
