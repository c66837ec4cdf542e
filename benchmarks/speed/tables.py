"""Renders the figures that are kept as the tables and the plot of docs/performance.md."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

Figures = Mapping[str, Any]


def rendered(page: str, figures: Figures) -> str:
    """`page` with what stands between `<!-- NAME -->` and `<!-- end -->` replaced by the table of that name."""

    known = {**figures, "aims": figures}

    def table(match: re.Match[str]) -> str:
        name = match[1]
        lines = TABLES[name](known[name]) if name in known else ["Not measured yet."]
        return "\n".join([f"<!-- {name} -->", "", *lines, "", "<!-- end -->"])

    return re.sub(r"<!-- (\w+) -->\n.*?<!-- end -->", table, page, flags=re.DOTALL)


def plot(figures: Figures) -> bytes:
    """An SVG of the rates of all contenders."""
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


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *rows)]


def _spread(values: Sequence[float], digits: int = 2) -> str:
    return f"{values[0]:.{digits}f} ({values[1]:.{digits}f} to {values[2]:.{digits}f})"


def _machine(figures: Figures, how: str = "") -> str:
    m = figures["machine"]
    vnni = "with" if m["vnni"] else "without"
    rounds = f"{figures['rounds']} rounds, median (least to most)"
    return (
        f"{m['at']}, {m['cores']} cores of {m['cpu']} {vnni} VNNI, {m['memory_gib']} GiB, Python {m['python']}; "
        f"{how or rounds}."
    )


def _rates(figures: Figures) -> list[str]:
    bases = list(figures["ratio"])
    rows = []
    for name, rate in figures["rate"].items():
        ratios = [_spread(figures["ratio"][base][name]) if name != base else "1" for base in bases]
        rows.append([name, *ratios, _spread(rate, 1), f"{figures['peak_mib'][name][0]:.0f}"])
    header = ["contender", *(f"{base} over it" for base in bases), "images a second", "peak memory, MiB"]
    same = figures.get("agreement")
    agreeing = (
        [f"Of the images that each had, {100 * min(same.values()):.4g}% have the stream's class.", ""] if same else []
    )
    absent = [f"Left out: {name} ({reason})." for name, reason in figures.get("left_out", {}).items()]
    parts = (agreeing, [*absent, ""] if absent else [], _costs(figures), _memory_of_kinds(figures))
    return [*_table(header, rows), "", *chain.from_iterable(parts), _machine(figures)]


def _costs(figures: Figures) -> list[str]:
    costs: Mapping[str, Mapping[str, Sequence[float]]] = figures.get("costs_ms", {})
    kinds = _kinds(costs)
    if not kinds:
        return []
    rows = []
    incomplete: Sequence[str] = figures.get("costs_incomplete", [])
    for name, of_one in costs.items():
        if not of_one or name in incomplete:
            continue  # too short to be watched, or not all of its processes were
        spent = [of_one[kind][0] if kind in of_one else None for kind in kinds]
        there = 1000 * figures["machine"]["cores"] / figures["rate"][name][0]
        rest = there - sum(filter(None, spent))
        rows.append([name, *("" if ms is None else f"{ms:.2f}" for ms in spent), f"{rest:.2f}", f"{there:.2f}"])
    header = ["processor time an image, ms", *kinds, "idle, or others'", "all cores"]
    note = f"Not in this table: {', '.join(incomplete)}; the time of its worker processes was not counted."
    return [*_table(header, rows), "", *([note, ""] if incomplete else [])]


def _memory_of_kinds(figures: Figures) -> list[str]:
    memory: Mapping[str, Mapping[str, Sequence[float]]] = figures.get("memory_mib", {})
    kinds = _kinds(memory)
    rows = [
        [name, *(f"{of_one[kind][0]:.0f}" if kind in of_one else "" for kind in kinds)]
        for name, of_one in memory.items()
    ]
    return [*_table(["memory when all have the most, MiB", *kinds], rows), ""] if kinds else []


def _kinds(of_each: Mapping[str, Mapping[str, Sequence[float]]]) -> list[str]:
    """The kinds of processes that any contender has."""
    return list(dict.fromkeys(kind for of_one in of_each.values() for kind in of_one))


def _latency(figures: Figures) -> list[str]:
    rows = [
        [name, *(f"{values[q]:.2f}" for q in ("p50", "p95", "p99"))]
        for name, values in figures.items()
        if isinstance(values, dict) and "p50" in values
    ]
    return [
        *_table(["from, to, and images a second", "p50, s", "p95, s", "p99, s"], rows),
        "",
        _machine(figures, "one run a row"),
    ]


def _start(figures: Figures) -> list[str]:
    rows = [[name, _spread(values)] for name, values in figures.items() if isinstance(values, list)]
    warming = f"A second micro-batch of 2,048 images has {_spread(figures['warming']['ratio'])} of the fourth's speed."
    steps = [[name, _spread(values)] for name, values in figures.get("steps", {}).items()]
    where = [*_table(["where they go, directory to Parquet, stream, warm", "seconds"], steps), ""] if steps else []
    return [*_table(["command to first row", "seconds"], rows), "", *where, warming, "", _machine(figures)]


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
    return [*_table(["what there is", "images a second", ""], rows), "", _machine(figures, how)]


def _machines(figures: Figures) -> list[str]:
    rows = [[name, _spread(values, 1)] for name, values in figures["rate"].items()]
    ratio = f"2 workers over 1: {_spread(figures['2 workers over 1'])}"
    return [*_table(["master", "images a second"], rows), "", ratio, "", _machine(figures)]


def _authentication(figures: Figures) -> list[str]:
    rows = [
        *([f"images a second, {way}", _spread(ratio)] for way, ratio in figures["throughput"].items()),
        *([f"latency at 10 a second, Kafka to Kafka, {name}", _spread(r)] for name, r in figures["latency"].items()),
    ]
    return [*_table(["with over without", "ratio"], rows), "", _machine(figures)]


def _over(table: str, base: str, other: str) -> Callable[[Figures], float]:
    return lambda figures: float(figures[table]["ratio"][base][other][0])


def _start_over(path: str) -> Callable[[Figures], float]:
    def ratio(figures: Figures) -> float:
        seconds = {what: figures["start"][f"{path}, {what}, warm"][0] for what in ("stream", "an empty Spark stream")}
        return float(seconds["stream"] / seconds["an empty Spark stream"])

    return ratio


def _p50(figures: Figures, what: str) -> float:
    return float(figures["latency"][f"Kafka to Kafka, {what}, 10 a second"]["p50"])


def _memory(figures: Figures) -> float:
    peaks = figures["directory"]["peak_mib"]
    return float(peaks["stream"][0] / peaks["loop, 2 processes"][0])


def _wrong_request(figures: Figures) -> float:
    """Return the median of the slowest, in seconds."""
    medians = [values[0] for name, values in figures["start"].items() if name.startswith("wrong request")]
    if not medians:
        raise KeyError("wrong request")
    return float(max(medians))


def _int8(figures: Figures) -> float:
    return 1.3 if figures["directory"]["machine"]["vnni"] else 1.0


AIMS: Sequence[tuple[str, str, float | Callable[[Figures], float], Callable[[Figures], float]]] = (
    ("stream over the loop of two processes, directory to Parquet", "at least", 0.85,
     _over("directory", "stream", "loop, 2 processes")),
    ("the same in INT8, over that FP32 loop", "at least", _int8,
     _over("directory", "stream, INT8", "loop, 2 processes")),
    ("over the loop of one process", "at least", 1.1, _over("directory", "stream", "loop, 1 process")),
    ("over the TensorFlow loop", "at least", 2.5, _over("directory", "stream", "TensorFlow loop")),
    ("over Spark's recipe", "at least", 3, _over("directory", "stream", "Spark's recipe")),
    ("over the original's recipe", "at least", 50, _over("directory", "stream", "original's recipe")),
    ("over Ray Data", "at least", 1, _over("directory", "stream", "Ray Data")),
    ("over the kafka-python loop, Kafka to Parquet", "at least", 0.95,
     _over("kafka", "stream to Parquet", "kafka-python loop to Parquet")),
    ("over Quix Streams, Kafka to Kafka", "at least", 1, _over("kafka", "stream to Kafka", "Quix Streams")),
    ("peak memory over that of the loop of two processes", "at most", 4, _memory),
    ("rate with 50,000 files over that with 1,000", "at least", 0.9,
     lambda figures: figures["growth"]["50000 files"]["rate"] / figures["growth"]["1000 files"]["rate"]),
    ("2 one-core workers over 1", "at least", 1.8, lambda figures: figures["machines"]["2 workers over 1"][0]),
    ("second micro-batch's speed over that of the fourth", "at least", 0.9,
     lambda figures: figures["start"]["warming"]["ratio"][0]),
    ("first prediction over that of an empty stream, directory to Parquet", "at most", 1.5,
     _start_over("directory to Parquet")),
    ("first prediction over that of an empty stream, Kafka to Kafka", "at most", 1.5, _start_over("Kafka to Kafka")),
    ("p50 latency at 10 a second over that without a model, Kafka to Kafka", "at most", 1.3,
     lambda figures: _p50(figures, "stream") / _p50(figures, "without a model")),
    ("p50 latency at 10 a second without a model, s", "at most", 0.56,
     lambda figures: _p50(figures, "without a model")),
    ("`sparkdl --help`, s", "at most", 0.3, lambda figures: figures["start"]["sparkdl --help"][0]),
    ("slowest answer to a wrong request, s", "at most", 0.7, _wrong_request),
)  # fmt: skip


def _aims(figures: Figures) -> list[str]:
    rows = []
    for words, direction, aim, of in AIMS:
        try:
            bound, value = aim if isinstance(aim, (int, float)) else aim(figures), of(figures)
        except KeyError:  # not measured
            rows.append([words, "", "", "not measured"])
            continue
        reached = value >= bound if direction == "at least" else value <= bound
        rows.append([words, f"{direction} {bound:g}", f"{value:.2f}", "yes" if reached else "**no**"])
    return _table(["ratio of medians, unless it says s", "aim", "measured", "reached"], rows)


TABLES: Mapping[str, Callable[[Figures], list[str]]] = {
    "aims": _aims,
    "directory": _rates,
    "kafka": _rates,
    "latency": _latency,
    "start": _start,
    "growth": _growth,
    "machines": _machines,
    "authentication": _authentication,
}
