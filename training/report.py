"""The report of an evaluation: figures as JSON and CSV, plots, and a page that puts them together."""

from __future__ import annotations

import csv
import html
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont
from sklearn.metrics import roc_curve

from sparkdl.image import decode
from sparkdl.rejection import Rejected
from sparkdl.terminal import printable
from training.datasets import Dataset
from training.evaluate import Evaluation

_SHEET = 40  # pictures on a sheet
_TILE = 96  # pixels a side
_GAP, _WORDS = 8, 32  # pixels between tiles, and below each for two lines of words
_LONGEST = 24  # characters of a class name in a plot
_WIDEST = 200  # characters of a cell


def write_report(directory: Path, evaluation: Evaluation, dataset: Dataset, about: Mapping[str, Any]) -> None:
    """Writes metrics.json, per_class.csv, predicted_samples.csv, the plots, the picture sheets and report.md.

    Parameters
    ----------
    directory
        Exists already.
    evaluation, dataset
        What was measured, and the images it was measured on.
    about
        What to say of the model at the top of the page, name to value.
    """
    metrics = evaluation.metrics
    _write_text(directory / "metrics.json", json.dumps(metrics, indent=2, ensure_ascii=False) + "\n")
    _write_csv(
        directory / "per_class.csv",
        ("class", "precision", "recall", "f1", "support"),
        [(name, *row.values()) for name, row in metrics["per_class"].items()],
    )
    _write_csv(
        directory / "predicted_samples.csv", ("id", "label", "prediction", "confidence"), sample_rows(evaluation)
    )
    _save(_draw_confusion(evaluation), directory / "confusion_matrix.png")
    _save(_draw_roc(evaluation), directory / "roc.png")
    chosen = np.random.default_rng(0).permutation(len(evaluation.names))
    wrong = [i for i, (a, b) in enumerate(zip(evaluation.labels, evaluation.predictions, strict=True)) if a != b]
    wrong.sort(key=lambda i: -evaluation.confidences[i])
    _sheet(evaluation, dataset, chosen[:_SHEET].tolist()).save(directory / "samples.png")
    _sheet(evaluation, dataset, wrong[:_SHEET]).save(directory / "misclassified.png")
    _write_text(directory / "report.md", _page(evaluation, about, len(wrong)))


def sample_rows(evaluation: Evaluation) -> list[tuple[str, str, str, float]]:
    """Every image with its true class, its prediction and the confidence, in a fixed shuffled order."""
    order = np.random.default_rng(0).permutation(len(evaluation.names))
    return [
        (
            evaluation.names[i],
            evaluation.labels[i],
            evaluation.predictions[i],
            round(float(evaluation.confidences[i]), 4),
        )
        for i in order
    ]


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=110, bbox_inches="tight", metadata={"Software": None})


def _draw_confusion(evaluation: Evaluation) -> Figure:
    matrix = np.array(evaluation.metrics["confusion_matrix"])
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    k = len(evaluation.classes)
    side = min(3 + 0.42 * k, 14)
    figure = Figure(figsize=(side, side))
    axes: Axes = figure.add_subplot()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    names = [_in_plot(name) for name in evaluation.classes]
    axes.set_xticks(range(k), names, rotation=0 if k <= 12 and max(map(len, names)) <= 3 else 90)
    axes.set_yticks(range(k), names)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.set_title(f"Confusion matrix, {matrix.sum()} images")
    if k <= 30:
        for row in range(k):
            for column in range(k):
                if matrix[row, column]:
                    colour = "white" if share[row, column] > 0.5 else "black"
                    axes.text(column, row, str(matrix[row, column]), ha="center", va="center", color=colour, fontsize=9)
    return figure


def _draw_roc(evaluation: Evaluation) -> Figure:
    figure = Figure(figsize=(6, 5))
    axes: Axes = figure.add_subplot()
    truth = np.array(evaluation.labels)
    for k, name in enumerate(evaluation.classes):
        if 0 < (truth == name).sum() < len(truth):
            false_rate, true_rate, _ = roc_curve(truth == name, evaluation.probabilities[:, k])
            axes.plot(false_rate, true_rate, linewidth=1, label=_in_plot(name))
    axes.plot([0, 1], [0, 1], color="gray", linewidth=0.8, linestyle=":")
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    area = evaluation.metrics["roc_auc"]
    axes.set_title("One-versus-rest ROC" + (f", mean AUC {area:.4f}" if area is not None else ""))
    if 0 < len(axes.get_legend_handles_labels()[0]) <= 20:
        axes.legend(title="class", fontsize=8, loc="lower right")
    return figure


def _in_plot(name: str) -> str:
    """`name` for matplotlib: not too long, and no formula."""
    name = printable(name)
    return (name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…").replace("$", r"\$")


def _sheet(evaluation: Evaluation, dataset: Dataset, chosen: Sequence[int]) -> Image.Image:
    """The chosen images, each above its prediction; the true class is added where it differs."""
    by_name = {image.name: image for image in dataset}
    columns = 8
    across, down = _TILE + _GAP, _TILE + _WORDS + _GAP
    sheet = Image.new("RGB", (columns * across, max(-(-len(chosen) // columns), 1) * down), "white")
    pen = ImageDraw.Draw(sheet)
    pen.font = ImageFont.truetype(findfont("DejaVu Sans"), 11)
    for place, index in enumerate(chosen):
        left, top = place % columns * across + _GAP // 2, place // columns * down + _GAP // 2
        tile = _tile(by_name[evaluation.names[index]].read())
        sheet.paste(tile, (left + (_TILE - tile.width) // 2, top + (_TILE - tile.height) // 2))
        right = evaluation.labels[index] == evaluation.predictions[index]
        share = f" {evaluation.confidences[index]:.0%}"
        words = _shorten(pen, evaluation.predictions[index], _TILE - pen.textlength(share)) + share
        if not right:
            words += "\n" + _shorten(pen, f"is {evaluation.labels[index]}", _TILE)
        pen.text((left, top + _TILE + 2), words, fill="black" if right else "firebrick", spacing=2)
    if not chosen:
        pen.text((_GAP, _GAP), "none", fill="black")
    return sheet


def _tile(payload: bytes) -> Image.Image:
    """The picture, its longer side `_TILE` pixels; gray if it has ceased to be readable since it was measured."""
    pixels = decode(payload)
    if isinstance(pixels, Rejected):
        return Image.new("RGB", (_TILE, _TILE), "lightgray")
    rgb = np.broadcast_to(pixels[..., ::-1], (*pixels.shape[:2], 3))
    picture = Image.fromarray(np.ascontiguousarray(rgb))
    factor = _TILE / max(picture.size)
    return picture.resize((max(round(picture.width * factor), 1), max(round(picture.height * factor), 1)))


def _shorten(pen: ImageDraw.ImageDraw, words: str, width: float) -> str:
    """`words`, cut to `width` pixels."""
    words = printable(" ".join(words.split()))[:_WIDEST]
    if pen.textlength(words) <= width:
        return words
    while words and pen.textlength(f"{words}…") > width:
        words = words[:-1]
    return f"{words}…"


def _page(evaluation: Evaluation, about: Mapping[str, Any], wrong: int) -> str:
    m = evaluation.metrics
    low, high = m["accuracy_interval"]
    area = "-" if m["roc_auc"] is None else f"{m['roc_auc']:.4f}"
    lines = ["# Model report", "", "| | |", "| --- | --- |"]
    lines += [f"| {_cell(name)} | {_cell(value)} |" for name, value in about.items()]
    lines += ["", f"## Measured on {m['n']} images", "", "| metric | value |", "| --- | --- |"]
    lines += [
        f"| accuracy | {m['accuracy']:.4f} (95% interval {low:.4f} to {high:.4f}) |",
        f"| precision, weighted | {m['precision_weighted']:.4f} |",
        f"| recall, weighted | {m['recall_weighted']:.4f} |",
        f"| F1, weighted | {m['f1_weighted']:.4f} |",
        f"| F1, macro | {m['f1_macro']:.4f} |",
        f"| ROC-AUC, one versus rest | {area} |",
        f"| images that could not be decoded | {m['unreadable']} |",
    ]
    lines += ["", "## Per class", "", "| class | precision | recall | F1 | images |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {_cell(name)} | {row['precision']:.3f} | {row['recall']:.3f} | {row['f1']:.3f} | {row['support']} |"
        for name, row in m["per_class"].items()
    ]
    lines += [
        "",
        "![confusion matrix](confusion_matrix.png)",
        "![ROC](roc.png)",
        "",
        "## Some images and what was predicted",
        "",
        "![samples](samples.png)",
        "",
        f"## The {wrong} mistakes, the most confident first",
        "",
        "![misclassified](misclassified.png)",
        "",
    ]
    return "\n".join(lines)


def _cell(value: object) -> str:
    """`value` as one cell of a Markdown table: words, whatever they are; no table, link, picture or HTML."""
    words = printable(" ".join(str(value).split()))
    words = words if len(words) <= _WIDEST else f"{words[: _WIDEST - 1]}…"
    escaped = html.escape(words, quote=False)
    return re.sub(r"[\\`|[\]]", lambda character: f"&#{ord(character[0])};", escaped)
