"""Tables and plot of docs/explanation/performance.md from the saved figures."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import chain

from aims import aims
from cells import Figures, measured_on, spread, table
from latency_tables import latency, soak


def rendered(page: str, figures: Figures) -> str:
    """Return `page` with the text between each `<!-- NAME -->` and `<!-- end -->` replaced by the table NAME."""

    known = {**figures, "aims": figures}

    def replacement(match: re.Match[str]) -> str:
        name = match[1]
        lines = TABLES[name](known[name]) if name in known else ["Not measured yet."]
        return "\n".join([f"<!-- {name} -->", "", *lines, "", "<!-- end -->"])

    return re.sub(r"<!-- (\w+) -->\n.*?<!-- end -->", replacement, page, flags=re.DOTALL)


def plot(figures: Figures) -> bytes:
    """Return an SVG of the rates of all contenders."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "sparkdl"
    from matplotlib import pyplot

    measured = [name for name in ("directory", "kafka") if name in figures]
    heights = [len(figures[name]["rate"]) for name in measured]
    figure, axes = pyplot.subplots(
        len(measured), 1, figsize=(8, 0.4 * sum(heights) + 0.8), height_ratios=heights, squeeze=False, sharex=True
    )
    for place, name in zip(axes[:, 0], measured, strict=True):
        rates = sorted(figures[name]["rate"].items(), key=lambda item: item[1][0])
        values = [value[0] for _, value in rates]
        errors = [[value[0] - value[1] for _, value in rates], [value[2] - value[0] for _, value in rates]]
        colours = ["#1f5fa8" if label.startswith("stream") else "#b0b6bd" for label, _ in rates]
        place.barh([label for label, _ in rates], values, xerr=errors, color=colours, ecolor="#555555", capsize=2)
        place.bar_label(place.containers[-1], [f"{value:.0f}" for value in values], padding=6)
        place.spines[["top", "right"]].set_visible(False)
        place.margins(x=0.12)
        place.set_title({"directory": "a directory of images", "kafka": "a topic of images"}[name], loc="left")
    axes[-1, 0].set_xlabel("images a second, median, least and most")
    target = io.BytesIO()
    figure.savefig(target, format="svg", bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)
    return target.getvalue()


def _rates(figures: Figures) -> list[str]:
    bases = list(figures["ratio"])
    rows = []
    for name, rate in figures["rate"].items():
        ratios = [spread(figures["ratio"][base][name]) if name != base else "1" for base in bases]
        rows.append([name, *ratios, spread(rate, 1), f"{figures['peak_mib'][name][0]:.0f}"])
    header = ["contender", *(f"{base} over it" for base in bases), "images a second", "peak memory, MiB"]
    same = figures.get("agreement")
    agreeing = (
        [f"Of the images that each had, {100 * min(same.values()):.4g}% have the stream's class.", ""] if same else []
    )
    absent = [f"Left out: {name} ({reason})." for name, reason in figures.get("left_out", {}).items()]
    parts = (agreeing, [*absent, ""] if absent else [], _costs(figures), _memory_of_kinds(figures))
    return [*table(header, rows), "", *chain.from_iterable(parts), measured_on(figures)]


def _costs(figures: Figures) -> list[str]:
    costs: Mapping[str, Mapping[str, Sequence[float]]] = figures.get("costs_ms", {})
    kinds = _kinds(costs)
    if not kinds:
        return []
    rows = []
    incomplete: Sequence[str] = figures.get("costs_incomplete", [])
    for name, of_one in costs.items():
        if not of_one or name in incomplete:
            continue  # too short to be watched, or some of its processes were not watched
        spent = [of_one[kind][0] if kind in of_one else None for kind in kinds]
        there = 1000 * figures["machine"]["cores"] / figures["rate"][name][0]
        rest = there - sum(filter(None, spent))
        rows.append([name, *("" if ms is None else f"{ms:.2f}" for ms in spent), f"{rest:.2f}", f"{there:.2f}"])
    header = ["processor time an image, ms", *kinds, "idle, or others'", "all cores"]
    note = f"Not in this table: {', '.join(incomplete)}; the time of its worker processes was not counted."
    return [*table(header, rows), "", *([note, ""] if incomplete else [])]


def _memory_of_kinds(figures: Figures) -> list[str]:
    memory: Mapping[str, Mapping[str, Sequence[float]]] = figures.get("memory_mib", {})
    kinds = _kinds(memory)
    rows = [
        [name, *(f"{of_one[kind][0]:.0f}" if kind in of_one else "" for kind in kinds)]
        for name, of_one in memory.items()
    ]
    return [*table(["memory when all have the most, MiB", *kinds], rows), ""] if kinds else []


def _kinds(of_each: Mapping[str, Mapping[str, Sequence[float]]]) -> list[str]:
    """Return the kinds of processes of all contenders."""
    return list(dict.fromkeys(kind for of_one in of_each.values() for kind in of_one))


def _start(figures: Figures) -> list[str]:
    rows = [[name, spread(values)] for name, values in figures.items() if isinstance(values, list)]
    warming = f"A second micro-batch of 2,048 images has {spread(figures['warming']['ratio'])} of the fourth's speed."
    steps = [[name, spread(values)] for name, values in figures.get("steps", {}).items()]
    where = [*table(["where they go, directory to Parquet, stream, warm", "seconds"], steps), ""] if steps else []
    return [*table(["command to first row", "seconds"], rows), "", *where, warming, "", measured_on(figures)]


def _growth(figures: Figures) -> list[str]:
    rows = []
    for name, values in figures.items():
        if isinstance(values, dict) and "rate" in values:
            more = ""
            if "slope_seconds_per_100" in values:
                slope, low, high = (1000 * value for value in values["slope_seconds_per_100"])
                more = (
                    f"a micro-batch of 32 takes {values['median_seconds']:.2f} s, "
                    f"{slope:+.1f} ms more after 100 ({low:+.1f} to {high:+.1f})"
                )
            rows.append([name, f"{values['rate']:.0f}", more])
    how = "of files the median of three runs, of the others one run"
    return [*table(["what there is", "images a second", ""], rows), "", measured_on(figures, how)]


def _machines(figures: Figures) -> list[str]:
    rows = [[name, spread(values, 1)] for name, values in figures["rate"].items()]
    ratio = f"2 workers over 1: {spread(figures['2 workers over 1'])}"
    return [*table(["master", "images a second"], rows), "", ratio, "", measured_on(figures)]


def _authentication(figures: Figures) -> list[str]:
    rows = [
        *([f"images a second, {way}", spread(ratio)] for way, ratio in figures["throughput"].items()),
        *([f"latency at 10 a second, Kafka to Kafka, {name}", spread(r)] for name, r in figures["latency"].items()),
    ]
    return [*table(["with over without", "ratio"], rows), "", measured_on(figures)]


TABLES: Mapping[str, Callable[[Figures], list[str]]] = {
    "aims": aims,
    "directory": _rates,
    "kafka": _rates,
    "imported": _rates,
    "latency": latency,
    "soak": soak,
    "start": _start,
    "growth": _growth,
    "machines": _machines,
    "authentication": _authentication,
}
