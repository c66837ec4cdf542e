"""The files of a report: figures as JSON and CSV, plots, sheets of pictures, and a page that puts them together."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.data.loading import Dataset
from training.evaluation.comparison import Comparison
from training.evaluation.evaluate import Evaluation
from training.reporting.contact_sheets import LARGEST, Caption, prediction_sheet, sheet
from training.reporting.fonts import Lettering
from training.reporting.model_card import card
from training.reporting.plots import save_plots
from training.reporting.provenance import About

_EACH = 16  # pictures of images of which one model alone is right


def write_report(
    directory: Path,
    evaluation: Evaluation,
    dataset: Dataset,
    about: About,
    comparison: Comparison | None = None,
    fonts: Iterable[Path] | None = None,
) -> None:
    """Writes metrics.json, per_class.csv, predicted_samples.csv, the plots, the picture sheets and report.md.

    Parameters
    ----------
    directory
        Exists already.
    evaluation, dataset
        What was measured, and the images it was measured on.
    about
        What to say of the model and of the images.
    comparison
        With another model; adds comparison.json, differences.csv and differences.png.
    fonts
        Files of fonts for names that DejaVu Sans has no letters for; default: those that are installed.
    """
    metrics = evaluation.metrics
    lettering = Lettering.of(_all_classes(evaluation, comparison), fonts)
    _write_json(directory / "metrics.json", metrics)
    _write_csv(
        directory / "per_class.csv",
        ("class", "precision", "recall", "recall_low", "recall_high", "f1", "roc_auc", "support"),
        [
            (
                name,
                row["precision"],
                row["recall"],
                *(row["recall_interval"] or (None, None)),
                row["f1"],
                row["roc_auc"],
                row["support"],
            )
            for name, row in metrics["per_class"].items()
        ],
    )
    _write_csv(
        directory / "predicted_samples.csv", ("id", "label", "prediction", "confidence"), sample_rows(evaluation)
    )
    save_plots(directory, evaluation, lettering)
    chosen = np.random.default_rng(0).permutation(len(evaluation.names))
    prediction_sheet(evaluation, dataset, lettering, chosen.tolist()).save(directory / "samples.png")
    prediction_sheet(evaluation, dataset, lettering, evaluation.mistakes).save(directory / "misclassified.png")
    if comparison is not None:
        _write_comparison(directory, comparison, dataset, lettering)
    _write_text(directory / "report.md", card(evaluation, about, lettering, comparison))


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


def _all_classes(evaluation: Evaluation, comparison: Comparison | None) -> tuple[str, ...]:
    others = comparison.second.classes if comparison is not None else ()
    return tuple(dict.fromkeys((*evaluation.classes, *others)))


def _write_comparison(directory: Path, comparison: Comparison, dataset: Dataset, lettering: Lettering) -> None:
    first, second = comparison.first, comparison.second
    _write_json(directory / "comparison.json", comparison.figures)
    _write_csv(
        directory / "differences.csv",
        ("id", "label", "prediction", "confidence", "prediction_against", "confidence_against"),
        [
            (
                first.names[i],
                first.labels[i],
                first.predictions[i],
                round(float(first.confidences[i]), 4),
                second.predictions[j],
                round(float(second.confidences[j]), 4),
            )
            for i, j in comparison.differing
        ],
    )
    shown = {
        "darkgreen": comparison.only_first[:_EACH],
        "firebrick": comparison.only_second[:_EACH],
        "black": comparison.neither[: LARGEST - 2 * _EACH],
    }
    other = {i: j for pairs in shown.values() for i, j in pairs}
    colours = {i: colour for colour, pairs in shown.items() for i, _ in pairs}

    def caption(i: int) -> Caption:
        colour = colours[i]
        return [
            (f"this: {lettering.shown[first.predictions[i]]}", f" {first.confidences[i]:.0%}", colour),
            (f"other: {lettering.shown[second.predictions[other[i]]]}", f" {second.confidences[other[i]]:.0%}", colour),
            (f"is {lettering.shown[first.labels[i]]}", "", "black"),
        ]

    sheet(first, dataset, lettering, list(other), 3, caption).save(directory / "differences.png")


def _write_json(path: Path, value: Any) -> None:
    _write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
