"""Validation of Keras weights files from any source, before Keras opens them."""

from __future__ import annotations

import math
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

MAX_BYTES = 2 << 30
"""Maximum unpacked bytes of all arrays of a file; the largest network, with its top, has 0.6 GB."""
_MAX_OBJECTS = 100_000  # objects in a file; Xception has 300
_INSIDE = "model.weights.h5"
_FILTERS = {1, 2, 3}  # built into HDF5: deflate, shuffle, checksum; HDF5 would load libraries for others
# So that HDF5 does not search for such libraries.
ENVIRONMENT = {"HDF5_PLUGIN_PRELOAD": "::", "HDF5_PLUGIN_PATH": os.devnull}


def weights_only(path: Path, directory: Path) -> Path:
    """Return a file that contains only arrays: `path`, or the weights of a `.keras` archive unpacked into `directory`.

    Raises
    ------
    ValueError
        If its content refers to other files, runs code, or needs more memory than any network.
    OSError
        If it cannot be read.
    zipfile.BadZipFile
        If it has the name of an archive but is not one.
    """
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            if _INSIDE not in archive.namelist():
                raise ValueError(f"the archive has no {_INSIDE}")
            inside = archive.getinfo(_INSIDE)
            if inside.file_size > MAX_BYTES:
                raise ValueError(f"{_INSIDE} is larger than {MAX_BYTES >> 30} GiB")
            path = directory / _INSIDE
            with archive.open(inside) as packed, path.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked)
    check(path)
    return path


def check(path: Path) -> None:
    """Check that an HDF5 file contains only numeric arrays and names of bounded size, and no references elsewhere.

    Raises
    ------
    ValueError
        If it does not.
    OSError
        If it is not an HDF5 file.
    """
    import h5py

    seen = set[Any]()
    size = 0
    with h5py.File(path, "r") as file:
        groups = [file]
        while groups:
            group = groups.pop()
            _check_attributes(group)
            for name in group:
                link = group.get(name, getlink=True)
                if not isinstance(link, h5py.HardLink):
                    raise ValueError(f"{_short(name)} is a link")
                thing = group[name]
                place = h5py.h5o.get_info(thing.id).addr
                if place in seen:
                    continue
                seen.add(place)
                if len(seen) > _MAX_OBJECTS:
                    raise ValueError(f"it has more than {_MAX_OBJECTS} parts")
                if isinstance(thing, h5py.Group):
                    groups.append(thing)
                elif isinstance(thing, h5py.Dataset):
                    _check_array(thing)
                    size += math.prod(thing.shape or ()) * thing.dtype.itemsize
                    if size > MAX_BYTES:
                        raise ValueError(f"its arrays have more than {MAX_BYTES >> 30} GiB")
                else:
                    raise ValueError(f"{_short(name)} is not an array")


def _check_array(array: Any) -> None:
    name = _short(array.name)
    if array.external:
        raise ValueError(f"{name} is in another file")
    if array.is_virtual:
        raise ValueError(f"{name} is assembled from other datasets")
    if array.dtype.kind not in "fiub" or array.dtype.metadata:
        raise ValueError(f"{name} is not an array of numbers")
    settings = array.id.get_create_plist()
    used = {settings.get_filter(index)[0] for index in range(settings.get_nfilters())}
    if used - _FILTERS:
        raise ValueError(f"{name} is packed with a filter that is not built into HDF5")
    _check_attributes(array)


def _check_attributes(thing: Any) -> None:
    """Refuse attributes with references, and attributes longer than any list of names."""
    import h5py

    for name in thing.attrs:
        attribute = h5py.h5a.open(thing.id, name.encode())
        if attribute.dtype.kind == "O" and h5py.check_string_dtype(attribute.dtype) is None:
            raise ValueError(f"the attribute {_short(name)} is neither numbers nor text")
        if math.prod(attribute.shape) * attribute.dtype.itemsize > MAX_BYTES >> 5:
            raise ValueError(f"the attribute {_short(name)} is too long")


def _short(name: str | None) -> str:
    return repr((name or "")[:100])
