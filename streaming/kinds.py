"""Kinds of sources and sinks: the entries of the tables of kinds."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Kind(Generic[T]):
    """A kind of source or sink.

    Attributes
    ----------
    form
        The form of its addresses, for help texts and errors.
    make
        Returns the source or sink at an address. Receives those settings of a stream that it has a parameter for.
    """

    form: str
    make: Callable[..., T]

    def at(self, address: str, settings: Mapping[str, Any]) -> T:
        """Return the source or sink at `address`; `settings` that this kind does not use are ignored."""
        used = settings.keys() & inspect.signature(self.make).parameters.keys()
        return self.make(address, **{name: settings[name] for name in used})
