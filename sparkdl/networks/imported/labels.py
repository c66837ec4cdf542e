"""Names of classes: of a text or JSON file, or of `id2label`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sparkdl.errors import RequestError
from sparkdl.networks.imported.files import read_file

_MAX_BYTES = 16 << 20
_MAX_NAME = 500  # characters


def read_labels(path: Path) -> tuple[str, ...]:
    """Return the names in a file: one a line, or a JSON list, or a JSON object from class index to name.

    Names that are equal get their index, since a name stands for one class: ImageNet has two cranes.

    Raises
    ------
    RequestError
        If the file cannot be read, or holds something else.
    """
    content = read_file(path, _MAX_BYTES)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError(f"{path} is no UTF-8 text, expected the name of a class in each line") from error
    if text.lstrip()[:1] in ("{", "["):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RequestError(f"{path} is no JSON: {str(error)[:200]}") from error
        return labels_of(value, str(path))
    return distinct([line.strip() for line in text.splitlines() if line.strip()], str(path))


def labels_of(value: Any, origin: str) -> tuple[str, ...]:
    """Return the names in a JSON value, as `read_labels` takes it.

    In an object, the value of an index may be a list whose last element is the name, as in `imagenet_class_index.json`.

    Raises
    ------
    RequestError
        If it is something else; the message begins with `origin`.
    """
    if isinstance(value, Mapping):
        try:
            indexed = {int(index): name for index, name in value.items()}
        except ValueError as error:
            raise RequestError(f"{origin}: expected the indices of classes as keys") from error
        if indexed.keys() != set(range(len(value))):
            raise RequestError(f"{origin}: expected classes 0 to {len(value) - 1}, received other indices")
        value = [indexed[index] for index in range(len(indexed))]
    if not isinstance(value, list):
        raise RequestError(f"{origin}: expected a list of names, or an object from class index to name")
    return distinct([name[-1] if isinstance(name, list) and name else name for name in value], origin)


def distinct(names: Sequence[Any], origin: str) -> tuple[str, ...]:
    """Return `names`, equal ones with their index.

    Raises
    ------
    RequestError
        If there are none, or one is no text, empty or too long.
    """
    if not names:
        raise RequestError(f"{origin}: expected the names of the classes, received none")
    for index, name in enumerate(names):
        if not isinstance(name, str) or not name.strip() or len(name) > _MAX_NAME:
            raise RequestError(
                f"{origin}: expected the name of class {index} as text of 1 to {_MAX_NAME} characters, "
                f"received {str(name)[:60]!r}"
            )
    counts = Counter(names)
    found = tuple(f"{name} ({index})" if counts[name] > 1 else name for index, name in enumerate(names))
    if len(set(found)) < len(found):
        raise RequestError(f"{origin}: the names of its classes are not distinct")
    return found
