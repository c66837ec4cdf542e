"""Markdown text and tables from untrusted values: nothing in them becomes a link, a picture or HTML."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from sparkdl.system.terminal import printable

_MAX_CELL_LENGTH = 200  # characters


def cell(value: object, max_length: int = _MAX_CELL_LENGTH) -> str:
    """Return `value` as one line of text, escaped and shortened to `max_length` characters."""
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    words = printable(" ".join(text.split()))
    words = words if len(words) <= max_length else f"{words[: max_length - 1]}…"
    escaped = html.escape(words, quote=False)
    # An underscore between two letters or digits is not emphasis.
    return re.sub(r"[\\`*|[\]~]|(?<![^\W_])_|_(?![^\W_])", lambda character: f"&#{ord(character[0])};", escaped)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return the lines of a table, with an empty line at the end."""
    lines = [header, ["---"] * len(header), *rows]
    return [*(f"| {' | '.join(map(cell, line))} |" for line in lines), ""]


def number(value: float | None) -> str:
    """Return a figure with four digits, or a dash for None."""
    return "-" if value is None else f"{value:.4f}"


def with_interval(value: float, interval: Sequence[float] | None, digits: int = 4, *, sign: bool = False) -> str:
    """Return a figure, followed by its interval if it has one."""
    form = f"{'+' if sign else ''}.{digits}f"
    if interval is None:
        return format(value, form)
    low, high = (format(limit, form) for limit in interval)
    return f"{format(value, form)} ({low} to {high})"


def count(amount: int, what: str) -> str:
    """Return an amount with its noun: `1 image`, `2 images`."""
    return f"{amount} {what}" if amount == 1 else f"{amount} {what}s"
