"""Tables, cells and the line about the machine, in the form of docs/explanation/performance.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Figures = Mapping[str, Any]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *rows)]


def spread(values: Sequence[float], digits: int = 2) -> str:
    return f"{values[0]:.{digits}f} ({values[1]:.{digits}f} to {values[2]:.{digits}f})"


def measured_on(figures: Figures, how: str = "") -> str:
    m = figures["machine"]
    vnni = "with" if m["vnni"] else "without"
    rounds = f"{figures['rounds']} rounds, median (least to most)"
    return (
        f"{m['at']}, {m['cores']} cores of {m['cpu']} {vnni} VNNI, {m['memory_gib']} GiB, Python {m['python']}; "
        f"{how or rounds}."
    )
