"""Request to read a directory of labelled images."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from sparkdl.system.ignored_names import IgnoredNames


class Layout(StrEnum):
    """Where the labels of a directory are."""

    AUTO = "auto"
    CLASSES = "classes"
    SPLIT = "split"
    TABLE = "table"


@dataclass(frozen=True)
class Request:
    """The options for reading a directory.

    Attributes
    ----------
    address
        The address as the user gave it.
    require_labels
        Whether each image must have a label.
    ignored
        The names to ignore.
    layout
        The layout; `AUTO` to recognise it.
    image_column, label_column
        The columns of a table; None to find them by their names.
    """

    address: str
    require_labels: bool = True
    ignored: IgnoredNames = field(default_factory=IgnoredNames)
    layout: Layout = Layout.AUTO
    image_column: str | None = None
    label_column: str | None = None

    @property
    def names_columns(self) -> bool:
        return self.image_column is not None or self.label_column is not None
