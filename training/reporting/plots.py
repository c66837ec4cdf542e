"""The plots of a report: confusion matrix, ROC curves, reliability diagram."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from sklearn.metrics import roc_curve

from training.evaluation.evaluate import Evaluation
from training.evaluation.intervals import wilson
from training.reporting.fonts import FontSet

_MAX_NAME_LENGTH = 24  # characters
_MAX_NUMBERS, _MAX_NAMES = 30, 120  # classes up to which cells show numbers, and axes show names
_MAX_CURVES = 20  # classes up to which each curve has a colour and a line in the legend
_LOWEST_CURVES = 10  # with more classes, the curves with a colour and a line in the legend
_MAX_GRAY_CURVES = 100  # of the other classes, the lowest
_MIN_CORNER_AREA = 0.9  # if all areas are at least this, an inset enlarges the upper left corner


def save_plots(directory: Path, evaluation: Evaluation, fonts: FontSet) -> None:
    """Write confusion_matrix.png, roc.png and reliability.png."""
    names = {name: _in_plot(text) for name, text in fonts.text.items()}
    with _font_families(fonts):
        _save(_draw_confusion(evaluation, names), directory / "confusion_matrix.png")
        _save(_draw_roc(evaluation, names), directory / "roc.png")
        _save(_draw_reliability(evaluation), directory / "reliability.png")


@contextmanager
def _font_families(fonts: FontSet) -> Iterator[None]:
    known = {entry.fname for entry in fontManager.ttflist}
    for path in fonts.fonts:
        if str(path) not in known:
            fontManager.addfont(path)
    with matplotlib.rc_context({"font.family": fonts.families}):
        yield


def _in_plot(name: str) -> str:
    """Return `name` for matplotlib: shortened, and not parsed as a formula."""
    return (name if len(name) <= _MAX_NAME_LENGTH else name[: _MAX_NAME_LENGTH - 1] + "…").replace("$", r"\$")


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=110, bbox_inches="tight", metadata={"Software": None})


def _draw_confusion(evaluation: Evaluation, names: Mapping[str, str]) -> Figure:
    matrix = evaluation.confusion
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    k = len(evaluation.classes)
    side = min(3 + 0.42 * k, 14)
    figure = Figure(figsize=(side, side))
    axes: Axes = figure.add_subplot()
    picture = axes.imshow(share, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1), interpolation="nearest")
    labels = [names[name] for name in evaluation.classes]
    if k <= _MAX_NAMES:
        size = min(10, 0.8 * 72 * side * 0.77 / k)  # points: 0.8 of a cell
        upright = k <= 12 and max(map(len, labels)) <= 3
        axes.set_xticks(range(k), labels, rotation=0 if upright else 90, fontsize=size)
        axes.set_yticks(range(k), labels, fontsize=size)
    axes.set_xlabel("predicted class" if k <= _MAX_NAMES else "predicted class, by index")
    axes.set_ylabel("true class" if k <= _MAX_NAMES else "true class, by index")
    axes.set_title(f"Confusion matrix, {_images(int(matrix.sum()))}")
    bar = figure.colorbar(picture, ax=axes, fraction=0.046, pad=0.03, ticks=[0, 0.01, 0.05, 0.1, 0.25, 0.5, 1])
    bar.ax.set_yticklabels(["0", "1%", "5%", "10%", "25%", "50%", "100%"], fontsize=8)
    bar.set_label("share of the true class", fontsize=8)
    if k <= _MAX_NUMBERS:
        for row, column in np.argwhere(matrix):
            number = str(matrix[row, column])
            colour = "white" if share[row, column] > 0.4 else "black"
            size = min(9, 26 / len(number))
            axes.text(column, row, number, ha="center", va="center", color=colour, fontsize=size)
    return figure


def _draw_roc(evaluation: Evaluation, names: Mapping[str, str]) -> Figure:
    metrics = evaluation.metrics
    areas = {
        k: metrics["per_class"][name]["roc_auc"]
        for k, name in enumerate(evaluation.classes)
        if metrics["per_class"][name]["roc_auc"] is not None
    }
    few = len(areas) <= _MAX_CURVES
    chosen = list(areas) if few else sorted(areas, key=lambda k: areas[k])[:_LOWEST_CURVES]
    colours = matplotlib.colormaps["tab10" if len(chosen) <= 10 else "tab20"]
    figure = Figure(figsize=(6, 5))
    axes: Axes = figure.add_subplot()
    panes = [axes]
    if areas and min(areas.values()) >= _MIN_CORNER_AREA:
        corner = axes.inset_axes((0.38, 0.12, 0.56, 0.56), xlim=(-0.004, 0.2), ylim=(0.8, 1.004))
        corner.set_title("the upper left corner", fontsize=8, bbox={"facecolor": "white", "linewidth": 0, "pad": 1})
        corner.set_xticks([0, 0.05, 0.1, 0.15, 0.2])
        corner.set_yticks([0.8, 0.85, 0.9, 0.95, 1])
        corner.tick_params(labelsize=7)
        panes.append(corner)
    gray = [k for k in sorted(areas, key=lambda k: areas[k]) if k not in chosen][:_MAX_GRAY_CURVES]
    for k in gray + chosen:
        false_rate, true_rate, _ = roc_curve(evaluation.truth == k, evaluation.probabilities[:, k])
        style: dict[str, Any] = {"linewidth": 0.5, "color": "lightgray", "zorder": 1}
        if k in chosen:
            label = f"{areas[k]:.4f}  {names[evaluation.classes[k]]}"
            style = {"linewidth": 1.2, "color": colours(chosen.index(k)), "label": label}
        for pane in panes:
            pane.plot(false_rate, true_rate, **style)
    axes.plot([0, 1], [0, 1], color="gray", linewidth=0.8, linestyle=":")
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    area = metrics["roc_auc"]
    axes.set_title("One-versus-rest ROC" + (f", mean AUC {area:.4f}" if area is not None else ""))
    if chosen:
        title = "AUC, class" if few else f"the {_LOWEST_CURVES} classes of lowest AUC;\nthe next {len(gray)} are gray"
        axes.legend(
            title=title, fontsize=8, title_fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False
        )
    else:
        words = "no class has both positive\nand negative images"
        axes.text(0.5, 0.6, words, ha="center", va="center", color="dimgray")
    return figure


def _draw_reliability(evaluation: Evaluation) -> Figure:
    calibration = evaluation.metrics["calibration"]
    bins = [bin_ for bin_ in calibration["bins"] if bin_["n"]]
    figure = Figure(figsize=(6, 6))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1], gridspec_kw={"hspace": 0.08})
    upper.plot([0, 1], [0, 1], color="gray", linewidth=0.8, linestyle=":")
    for bin_ in bins:
        low, high = wilson(round(bin_["accuracy"] * bin_["n"]), bin_["n"])
        upper.plot([bin_["mean_confidence"]] * 2, [low, high], color="steelblue", linewidth=1)
    upper.plot(
        [bin_["mean_confidence"] for bin_ in bins],
        [bin_["accuracy"] for bin_ in bins],
        marker="o",
        markersize=4,
        linestyle="none",
        color="steelblue",
        clip_on=False,
        zorder=3,
    )
    upper.set_xlim(0, 1)
    upper.set_ylim(-0.02, 1.02)
    upper.set_ylabel("accuracy, with 95% interval")
    upper.set_title(f"Reliability, {_images(len(evaluation.labels))}: ECE {calibration['ece']:.4f}")
    edges = [bin_["from"] for bin_ in calibration["bins"]]
    counts = [bin_["n"] for bin_ in calibration["bins"]]
    lower.bar(edges, counts, width=1 / len(edges), align="edge", color="lightsteelblue", edgecolor="white")
    lower.set_ylim(0, max(counts) * 1.3)
    for edge, count in zip(edges, counts, strict=True):
        if count:
            place = (edge + 0.5 / len(edges), count)
            lower.annotate(
                _short(count), place, (0, 1), textcoords="offset points", ha="center", va="bottom", fontsize=7
            )
    lower.set_yticks([])
    lower.set_ylabel("images")
    lower.set_xlabel("confidence\n(above the dotted line: underconfident; below: overconfident)")
    return figure


def _images(count: int) -> str:
    return f"{count} image" if count == 1 else f"{count} images"


def _short(count: int) -> str:
    return str(count) if count < 10_000 else f"{count / 1000:.0f}k"
