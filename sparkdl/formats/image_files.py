"""The rule for which files are image files: by their first bytes or by their suffix.

A file with the suffix of an image counts regardless of its content, so that a broken image becomes an error or a dead
letter instead of being ignored. Any other file counts if it begins with the signature of an image: `IMG_1`, `scan.dat`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from sparkdl.formats.foreign import FOREIGN
from sparkdl.formats.signatures import CONTAINERS
from sparkdl.system.directory_walk import NO_PATTERNS, stat_regular, walk
from sparkdl.system.files import check_readable, open_regular
from sparkdl.system.ignored_names import IgnoredNames
from sparkdl.system.left_out import LeftOut, Why

SUFFIXES = frozenset(
    (
        *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp"),
        *(".heic", ".heif", ".hif", ".avif", ".jxl", ".jp2", ".j2k"),
    )
)
"""Suffixes of images, in lower case; also of unsupported formats, so that their rejection names them."""

_HEAD = 32  # bytes
_SIGNATURES = tuple(container.signature for container in CONTAINERS)
_OTHER_IMAGES = tuple(kind.signature for kind in FOREIGN if kind.name.startswith(("HEIF", "JPEG XL", "JPEG 2000")))
"""Names of unsupported formats that are common for photos."""


def is_image(name: str, head: bytes) -> bool:
    """Whether a file counts as an image, by its name and its first 32 bytes."""
    return has_image_suffix(name) or begins_as_image(head)


def has_image_suffix(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def begins_as_image(head: bytes) -> bool:
    return any(signature.match(head) for signature in (*_SIGNATURES, *_OTHER_IMAGES))


def find_images(
    directory: Path,
    left_out: LeftOut | None = None,
    ignored: IgnoredNames = NO_PATTERNS,
    *,
    below: str = "",
    others: Collection[str] = (),
) -> Iterator[str]:
    """Yield the relative paths of the image files below `directory`, in any order.

    Only files without the suffix of an image are opened. Files that are left out are added to `left_out`.

    Parameters
    ----------
    below
        The folder of `directory` to search, with a trailing slash. Paths are still relative to `directory`.
    others
        Paths of files that are not images, but do not count as left out.

    Raises
    ------
    OSError
        If `directory` itself cannot be listed.
    """
    passed = LeftOut() if left_out is None else left_out

    def leave_out(why: Why, name: str, error: OSError | None) -> None:
        passed.add(why, f"{name}: {error.strerror}" if error else name)

    for name, entry in walk(directory, ignored, leave_out, below=below):
        if stat_regular(name, entry, leave_out) is None:
            continue
        try:
            check_readable(entry.path)
            counts = has_image_suffix(name) or begins_as_image(read_head(entry.path))
        except OSError as error:
            leave_out(Why.UNREADABLE, name, error)
            continue
        if counts:
            yield name
        elif name not in others:
            leave_out(Why.NOT_IMAGE, name, None)


def list_images(
    directory: Path,
    left_out: LeftOut | None = None,
    ignored: IgnoredNames = NO_PATTERNS,
    *,
    below: str = "",
    others: Collection[str] = (),
) -> list[str]:
    """Return the paths of `find_images`, sorted by folder and name."""
    return sorted(
        find_images(directory, left_out, ignored, below=below, others=others), key=lambda name: name.split("/")
    )


def read_head(path: str) -> bytes:
    """Return the first bytes of a regular file, as many as `is_image` needs.

    Raises
    ------
    OSError
        If it cannot be read, or is not a regular file.
    """
    with open_regular(path) as file:
        return file.read(_HEAD) or b""
