"""Writes a report: metrics as JSON and CSV, plots, contact sheets and the model card."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training.data.dataset import Dataset
from training.evaluation.comparison import Comparison
from training.evaluation.evaluate import Evaluation
from training.reporting.model_card import render_model_card
from training.reporting.provenance import Provenance

if TYPE_CHECKING:
    from training.reporting.contact_sheets import Caption
    from training.reporting.fonts import FontSet

_EACH = 16  # pictures of images that only one of two models predicts correctly


def write_report(
    directory: Path,
    evaluation: Evaluation,
    dataset: Dataset,
    provenance: Provenance,
    comparison: Comparison | None = None,
    installed_fonts: Iterable[Path] | None = None,
) -> None:
    """Write metrics.json, per_class.csv, predicted_samples.csv, the plots, the contact sheets and report.md.

    Parameters
    ----------
    directory
        Must exist.
    evaluation, dataset
        The evaluation, and the images that were evaluated.
    provenance
        The origin of the model and of the images.
    comparison
        With another model; adds comparison.json, differences.csv and differences.png.
    installed_fonts
        Font files for names that DejaVu Sans has no letters for; default: the installed ones.
    """
    # Plots and contact sheets import Matplotlib and scikit-learn, which takes a second.
    from training.reporting.contact_sheets import prediction_sheet
    from training.reporting.fonts import FontSet
    from training.reporting.plots import save_plots

    metrics = evaluation.metrics
    fonts = FontSet.for_classes(_all_classes(evaluation, comparison), installed_fonts)
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
    save_plots(directory, evaluation, fonts)
    shuffled = np.random.default_rng(0).permutation(len(evaluation.names))
    prediction_sheet(evaluation, dataset, fonts, shuffled.tolist()).save(directory / "samples.png")
    prediction_sheet(evaluation, dataset, fonts, evaluation.mistakes).save(directory / "misclassified.png")
    if comparison is not None:
        _write_comparison(directory, comparison, dataset, fonts)
    _write_text(directory / "report.md", render_model_card(evaluation, provenance, fonts, comparison))


def sample_rows(evaluation: Evaluation) -> list[tuple[str, str, str, float]]:
    """Return each image's name, true class, prediction and confidence, in a fixed shuffled order."""
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


def _write_comparison(directory: Path, comparison: Comparison, dataset: Dataset, fonts: FontSet) -> None:
    from training.reporting.contact_sheets import MAX_TILES, contact_sheet

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
    groups = {
        "darkgreen": comparison.only_first[:_EACH],
        "firebrick": comparison.only_second[:_EACH],
        "black": comparison.neither[: MAX_TILES - 2 * _EACH],
    }
    other = {i: j for pairs in groups.values() for i, j in pairs}
    colours = {i: colour for colour, pairs in groups.items() for i, _ in pairs}

    def caption(i: int) -> Caption:
        colour = colours[i]
        return [
            (f"this: {fonts.text[first.predictions[i]]}", f" {first.confidences[i]:.0%}", colour),
            (f"other: {fonts.text[second.predictions[other[i]]]}", f" {second.confidences[other[i]]:.0%}", colour),
            (f"is {fonts.text[first.labels[i]]}", "", "black"),
        ]

    contact_sheet(first, dataset, fonts, list(other), 3, caption).save(directory / "differences.png")


def _write_json(path: Path, value: Any) -> None:
    _write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
