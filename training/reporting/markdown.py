"""Words and tables of Markdown that hold whatever they are given: no name in them becomes a link, a picture or HTML."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from sparkdl.system.terminal import printable

_WIDEST = 200  # characters of a cell


def cell(value: object, longest: int = _WIDEST) -> str:
    """`value` as words in a line or a cell of a table, in one line; cut to `longest` characters."""
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    words = printable(" ".join(text.split()))
    words = words if len(words) <= longest else f"{words[: longest - 1]}…"
    escaped = html.escape(words, quote=False)
    # An underscore within a word is no emphasis.
    return re.sub(r"[\\`*|[\]~]|(?<!\w)_|_(?!\w)", lambda character: f"&#{ord(character[0])};", escaped)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """The lines of a table, and an empty one after it."""
    lines = [header, ["---"] * len(header), *rows]
    return [*(f"| {' | '.join(map(cell, line))} |" for line in lines), ""]


def number(value: float | None) -> str:
    """A figure with four digits, or a dash if there is none."""
    return "-" if value is None else f"{value:.4f}"


def with_interval(value: float, interval: Sequence[float] | None, digits: int = 4, *, sign: bool = False) -> str:
    """A figure and its interval, if it has one."""
    form = f"{'+' if sign else ''}.{digits}f"
    if interval is None:
        return format(value, form)
    low, high = (format(limit, form) for limit in interval)
    return f"{format(value, form)} ({low} to {high})"


def count(amount: int, what: str) -> str:
    """`1 image`, `2 images`."""
    return f"{amount} {what}" if amount == 1 else f"{amount} {what}s"
