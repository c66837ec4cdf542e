"""Tables of docs/explanation/results.md from the saved figures."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Figures = Mapping[str, Any]


def rendered(page: str, figures: Figures) -> str:
    """Return `page` with the text between each `<!-- NAME -->` and `<!-- end -->` replaced by the table NAME."""

    def table(match: re.Match[str]) -> str:
        name = match[1]
        needed, render = TABLES[name]
        found = {protocol: figures[protocol] for protocol in needed if protocol in figures}
        lines = render(found) if len(found) == len(needed) else ["Not measured yet."]
        return "\n".join([f"<!-- {name} -->", *lines, "<!-- end -->"])

    return re.sub(r"<!-- ([\w -]+) -->\n.*?<!-- end -->", table, page, flags=re.DOTALL)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *rows)]


def _spread(values: Sequence[float | None], digits: int = 3) -> str:
    mean, deviation = values
    return f"{mean:.{digits}f}" if deviation is None else f"{mean:.{digits}f} ± {deviation:.{digits}f}"


def _percent(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}%}"


def _share(value: float, interval: Sequence[float]) -> str:
    return f"{value:.4f} ({interval[0]:.3f} to {interval[1]:.3f})"


def _few(measured: Figures) -> list[str]:
    figures = {protocol.removeprefix("few-"): found for protocol, found in measured.items()}
    scores = {
        "accuracy": "accuracy",
        "precision_weighted": "precision, weighted",
        "recall_weighted": "recall, weighted",
        "f1_weighted": "F1, weighted",
        "roc_auc": "ROC-AUC of the probabilities",
        "roc_auc_of_labels": "ROC-AUC of the predicted classes",
    }
    rows = [(shown, *(_spread(found[name]) for found in figures.values())) for name, shown in scores.items()]
    rows += [
        ("seconds to fit", *(_spread(found["fit_seconds"], 1) for found in figures.values())),
        ("calibration error", *(f"{found['ece']:.4f}" for found in figures.values())),
        ("calibration error by chance", *(f"{found['ece_if_calibrated']:.4f}" for found in figures.values())),
        ("coverage (auto-accepted)", *(_percent(found["coverage"], 1) for found in figures.values())),
        ("error rate of auto-accepted", *(_percent(found["error"], 2) for found in figures.values())),
    ]
    return _table(("", *(f"`{name}`" for name in figures)), rows)


def _many(measured: Figures) -> list[str]:
    figures = measured["many"]
    tests = {"held out": "`numta28.npz`, held-out tenth", "isi500": "`isi500`", "numtadb": "`numtadb`"}
    rows = []
    for name, found in figures.items():
        for key, shown in tests.items():
            of = found[key]
            rows.append(
                (
                    f"`{name}`",
                    shown,
                    str(of["n"]),
                    _share(of["accuracy"], of["accuracy_interval"]),
                    f"{of['ece']:.4f}",
                    f"{of['review']['coverage']:.1%}",
                    f"{of['review']['error']:.2%}",
                )
            )
    return _table(("recipe", "test images", "n", "accuracy", "calibration error", "coverage", "error rate"), rows)


def _cost(measured: Figures) -> list[str]:
    figures = measured["many"]
    slowest = min(statistics.median(of["images_per_second"]) for of in figures.values())
    rows = []
    for name, of in figures.items():
        speeds = of["images_per_second"]
        median = statistics.median(speeds)
        rows.append(
            (
                f"`{name}`",
                str(of["images"]),
                f"{of['fit_seconds'] / 60:.1f}",
                f"{median / slowest:.2f}",
                f"{median:.0f} ({min(speeds):.0f} to {max(speeds):.0f})",
            )
        )
    return _table(("recipe", "images", "minutes to fit", "relative speed", "images per second"), rows)


def _out_of_distribution(measured: Figures) -> list[str]:
    figures = measured["many"]
    names = list(figures)
    rows = [
        (
            kind,
            str(of["n"]),
            *(f"{figures[name]['out_of_distribution'][kind]['coverage']:.1%}" for name in names),
            *(f"{figures[name]['out_of_distribution'][kind]['mean_confidence']:.2f}" for name in names),
        )
        for kind, of in figures[names[0]]["out_of_distribution"].items()
    ]
    header = ("content", "images", *(f"accepted by `{n}`" for n in names), *(f"confidence, `{n}`" for n in names))
    return _table(header, rows)


def _curve(measured: Figures) -> list[str]:
    figures = measured["curve"]
    sizes = sorted({of["images_per_class"] for of in figures.values()})
    recipes = list(dict.fromkeys(of["recipe"] for of in figures.values()))
    cells = {(of["recipe"], of["images_per_class"]): f"{_spread(of['accuracy'], 4)}" for of in figures.values()}
    rows = [(str(size), *(cells.get((name, size), "") for name in recipes)) for size in sizes]
    everything = measured["many"]
    rows.append(("all, about 2,655", *(f"{everything[name]['held out']['accuracy']:.4f}" for name in recipes)))
    return _table(("images per class", *(f"`{name}`" for name in recipes)), rows)


def _synthetic(measured: Figures) -> list[str]:
    figures = measured["synthetic"]
    rows = [
        (
            f"`{name}`",
            str(of["images"]),
            *(_share(of[test]["accuracy"], of[test]["accuracy_interval"]) for test in TESTS),
        )
        for name, of in figures.items()
    ]
    return _table(("recipe", "synthetic images", *(f"`{test}`" for test in TESTS)), rows)


def _quantization(measured: Figures) -> list[str]:
    of = measured["quantization"]
    low, high = of["difference_interval"]
    row = (
        *(f"{of[name]:.4f}" for name in ("float32", "int8")),
        f"{100 * of['difference']:+.2f} points ({100 * low:+.2f} to {100 * high:+.2f})",
        str(of["n"]),
    )
    return _table(("`float32`", "`int8`", "difference", "images"), [row])


TESTS = ("numta500", "isi500", "numtadb")
TABLES: Mapping[str, tuple[tuple[str, ...], Callable[[Figures], list[str]]]] = {
    "few": (("few-digits", "few-original"), _few),
    "many": (("many",), _many),
    "cost": (("many",), _cost),
    "out-of-distribution": (("many",), _out_of_distribution),
    "curve": (("curve", "many"), _curve),
    "synthetic": (("synthetic",), _synthetic),
    "quantization": (("quantization",), _quantization),
}
"""The protocols that each table needs, and the function that renders its lines."""
