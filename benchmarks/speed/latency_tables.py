"""The tables of latency and soak."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cells import Figures, measured_on, spread, table

_ENOUGH = {"p50": 1, "p95": 20, "p99": 100, "max": 1}
"""The minimum number of images for each quantile; with fewer it would be the slowest image."""


def latency(figures: Figures) -> list[str]:
    """Return one table per rate, then the idle load of each contender."""
    contenders: Mapping[str, Any] = figures["contenders"]
    rates = sorted({int(rate) for of_one in contenders.values() for rate in of_one["rates"]})
    lines = []
    for rate in rates:
        rows = [
            _at_rate(name, of_one["rates"][str(rate)])
            for name, of_one in contenders.items()
            if str(rate) in of_one["rates"]
        ]
        lines += [*table([f"{rate} a second; seconds", *_ENOUGH, "cores"], rows), ""]
    rows = [
        [name, spread(of_one["idle_cores"], 3) if "idle_cores" in of_one else "", f"{of_one['peak_mib'][0]:.0f}"]
        for name, of_one in contenders.items()
        if "peak_mib" in of_one
    ]
    at_rates = [of_one for contender in contenders.values() for of_one in contender["rates"].values()]
    measuring = max(of_one["sender_cores"][0] for of_one in at_rates)
    late = max(of_one["late"] for of_one in at_rates)
    return [
        *lines,
        *table(["contender", "cores without a message", "peak memory, MiB"], rows),
        "",
        f"At each rate {figures['seconds']:g} s after a warm-up of {figures['warm_up']:g} s. The measuring process "
        f"took at most {measuring:.2f} of a core and sent an image at most {late:.3f} s late.",
        "",
        *_left_out(figures),
        *_conf(figures),
        measured_on(figures),
    ]


def soak(figures: Figures) -> list[str]:
    """Return the quantiles, the tail of each window, and memory at the start and the end."""
    contenders: Mapping[str, Any] = figures["contenders"]
    names = ("p50", "p99", "p99.9", "max")
    rows = [
        [
            _with_missing(name, of_one),
            *(f"{of_one[quantile]:.3f}" for quantile in names),
            str(of_one["slow"]),
            f"{of_one['cores']:.2f}",
            " ".join(f"{value:.2f}" for value in of_one["windows_p99"]),
        ]
        for name, of_one in contenders.items()
    ]
    memory = [
        [name, kind, f"{first:.0f}", f"{last:.0f}"]
        for name, of_one in contenders.items()
        for kind, (first, last) in of_one["memory_mib"].items()
    ]
    header = ["seconds", *names, "slower than 0.5 s", "cores", "p99 of each 5 minutes"]
    how = f"{figures['minutes']:g} minutes at {figures['rate']} images a second, one run"
    return [
        *table(header, rows),
        "",
        *table(["memory, MiB", "processes", "after the warm-up", "at the end"], memory),
        "",
        *_left_out(figures),
        *_conf(figures),
        measured_on(figures, how),
    ]


def _at_rate(name: str, of_one: Mapping[str, Any]) -> list[str]:
    cells = [spread(of_one[what], 3) if of_one["images"] >= count else "" for what, count in _ENOUGH.items()]
    return [_with_missing(name, of_one), *cells, f"{of_one['cores'][0]:.2f}" if of_one["cores"][0] else ""]


def _with_missing(name: str, of_one: Mapping[str, Any]) -> str:
    return f"{name} ({of_one['missing']} of {of_one['images']} without a result)" if of_one["missing"] else name


def _left_out(figures: Figures) -> Iterator[str]:
    for name, reason in figures["left_out"].items():
        yield from (f"Left out: {name} ({reason}).", "")


def _conf(figures: Figures) -> Iterator[str]:
    if figures["conf"]:
        yield from (f"The stream ran with {', '.join(f'`{setting}`' for setting in figures['conf'])}.", "")
