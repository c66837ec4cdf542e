"""The model card, the main page of a report: training data, intended use, evaluation, limitations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.evaluation.comparison import Comparison
from training.evaluation.evaluate import Evaluation
from training.evaluation.metrics import RESAMPLES
from training.reporting.markdown import cell, count, table
from training.reporting.metric_sections import (
    calibration_section,
    class_section,
    comparison_section,
    limitations_section,
    metrics_section,
    speed_section,
)
from training.reporting.provenance import Provenance

if TYPE_CHECKING:
    from training.reporting.fonts import FontSet

_MAX_CLASSES, _MAX_FILES = 30, 10  # classes and unreadable images that are listed
_MAX_SENTENCE_LENGTH = 600  # characters
_FIELDS = {
    "address": "source",
    "digest": "SHA-256 of the training set",
    "images": "training images",
    "test_images": "test images",
    "test_digest": "SHA-256 of the test set",
    "duplicates": "duplicate images",
    "test_fraction": "test fraction",
    "fit_seconds": "training time, s",
}


def render_model_card(
    evaluation: Evaluation, provenance: Provenance, fonts: FontSet, comparison: Comparison | None = None
) -> str:
    """Return the model card as Markdown."""
    sections = (
        _title(provenance),
        _training_data(provenance),
        _intended_use(evaluation, provenance),
        _evaluation_data(evaluation, provenance),
        metrics_section(evaluation),
        limitations_section(evaluation),
        calibration_section(evaluation, provenance),
        speed_section(evaluation),
        comparison_section(comparison) if comparison is not None else [],
        class_section(evaluation),
        _plots(fonts),
        _contact_sheets(evaluation),
        _versions(provenance),
    )
    return "\n".join(line for section in sections for line in section)


def _title(provenance: Provenance) -> list[str]:
    return [f"# Model card{f': {cell(provenance.model)}' if provenance.model else ''}", ""]


def _training_data(provenance: Provenance) -> list[str]:
    description = provenance.description
    lines = ["## Training data", ""]
    if not description:
        return [*lines, "Unknown: the model is a saved pipeline without a description.", ""]
    if imported := provenance.section("imported"):
        rows = [(key.replace("_", " "), value) for key, value in imported.items() if value is not None]
        created = ("imported on", description.get("created_at", "-"))
        return [*lines, "Unknown: the model was trained elsewhere.", "", *table(("", ""), [created, *rows])]
    recipe = {key: value for key, value in provenance.section("recipe").items() if key not in {"name", "summary"}}
    name, summary = (provenance.section("recipe").get(key, "-") for key in ("name", "summary"))
    rows = [("created", description.get("created_at", "-")), ("recipe", f"{name}: {summary}")]
    rows += [(_FIELDS.get(key, key.replace("_", " ")), value) for key, value in provenance.section("data").items()]
    rows += [(_FIELDS[key], description[key]) for key in ("fit_seconds",) if key in description]
    lines += table(("", ""), rows)
    lines += ["The SHA-256 of a set is over names, labels and contents. Settings of the recipe:", ""]
    return lines + table(("setting", "value"), recipe.items())


def _intended_use(evaluation: Evaluation, provenance: Provenance) -> list[str]:
    classes = evaluation.classes
    listed = ", ".join(classes[:_MAX_CLASSES])
    if len(classes) > _MAX_CLASSES:
        listed += f" and {len(classes) - _MAX_CLASSES} more"
    address = provenance.section("data").get("address")
    trained = f" It was trained on images of {cell(address)}." if address is not None else ""
    return [
        "## Intended use",
        "",
        f"The model distinguishes {len(classes)} classes: {cell(listed)}.{trained}",
        "It assigns one of these classes to every image, including images that show none of them.",
        "The metrics hold for images like those evaluated here. For other images, run sparkdl evaluate on them.",
        "",
    ]


def _evaluation_data(evaluation: Evaluation, provenance: Provenance) -> list[str]:
    m = evaluation.metrics
    lines = [
        "## Evaluation data",
        "",
        f"{count(m['n'], 'image')}: {cell(provenance.images, _MAX_SENTENCE_LENGTH)}.",
        f"Not counted: {count(m['unreadable'], 'image')} that could not be decoded:"
        if m["unreadable"]
        else "All of them could be decoded.",
        "",
    ]
    if m["unreadable"]:
        bad = evaluation.unreadable[:_MAX_FILES]
        lines += table(("image", "reason", "detail"), [(image.name, image.reason, image.detail) for image in bad])
    return [
        *lines,
        "Intervals are at 95%: Wilson's for accuracy and recall, a bias-corrected bootstrap with",
        f"{RESAMPLES} resamples for the other averages. They cover the variation between images of the same source,",
        "not between sources or training runs.",
        "",
    ]


def _plots(fonts: FontSet) -> list[str]:
    lines = ["![confusion matrix](confusion_matrix.png)", "![ROC](roc.png)", ""]
    if fonts.numbered:
        index = {name: text for name, text in fonts.text.items() if name in set(fonts.numbered)}
        lines += ["No installed font has all letters of these names, so the pictures show numbers instead:", ""]
        lines += table(
            ("in the pictures", "class", "code points"),
            [(text, name, " ".join(f"U+{ord(letter):04X}" for letter in name)) for name, text in index.items()],
        )
    return lines


def _contact_sheets(evaluation: Evaluation) -> list[str]:
    return [
        "## Sample predictions",
        "",
        "![samples](samples.png)",
        "",
        "## Mistakes, most confident first",
        "",
        f"{len(evaluation.mistakes)} in total; the first of them:",
        "",
        "![misclassified](misclassified.png)",
        "",
    ]


def _versions(provenance: Provenance) -> list[str]:
    versions = provenance.section("versions")
    return ["## Versions", "", *table(("library", "version"), versions.items())] if versions else []
