"""The page of a report, a model card: what the model was made of, how it was measured, and where it fails."""

from __future__ import annotations

import numpy as np

from training.evaluation.comparison import Comparison
from training.evaluation.evaluate import Evaluation
from training.evaluation.metrics import RESAMPLES
from training.reporting.fonts import Lettering
from training.reporting.markdown import cell, count, number, table, with_interval
from training.reporting.provenance import About

_PAIRS, _CLASSES, _FILES = 10, 5, 10  # rows on confused pairs, weak classes, images that did not decode
_SURE = 0.9
_SENTENCE = 600  # characters
_WORDS = {
    "address": "images from",
    "digest": "digest of the images trained on",
    "images": "images trained on",
    "test_images": "images kept aside for testing",
    "test_digest": "digest of the images kept aside",
    "copies": "images that are copies of others",
    "test_fraction": "part kept aside for testing",
    "fit_seconds": "seconds to fit",
}


def card(evaluation: Evaluation, about: About, lettering: Lettering, comparison: Comparison | None = None) -> str:
    """The page, in Markdown."""
    sections = (
        _title(about),
        _origin(about),
        _purpose(evaluation, about),
        _method(evaluation, about),
        _figures(evaluation),
        _failures(evaluation),
        _calibration(evaluation, about),
        _speed(evaluation),
        _comparison(comparison) if comparison is not None else [],
        _classes(evaluation),
        _plots(lettering),
        _samples(evaluation),
        _versions(about),
    )
    return "\n".join(line for section in sections for line in section)


def _title(about: About) -> list[str]:
    return [f"# Model card{f': {cell(about.model)}' if about.model else ''}", ""]


def _origin(about: About) -> list[str]:
    said = about.description
    lines = ["## What it was made of", ""]
    if not said:
        return [*lines, "Not known: the model is a saved pipeline without a description.", ""]
    recipe = {key: value for key, value in about.part("recipe").items() if key not in {"name", "summary"}}
    name, summary = (about.part("recipe").get(key, "-") for key in ("name", "summary"))
    rows = [("made", said.get("created_at", "-")), ("recipe", f"{name}: {summary}")]
    rows += [(_WORDS.get(key, key.replace("_", " ")), value) for key, value in about.part("data").items()]
    rows += [(_WORDS[key], said[key]) for key in ("fit_seconds",) if key in said]
    lines += table(("", ""), rows)
    lines += ["A digest is SHA-256 over names, labels and contents. The recipe's settings:", ""]
    return lines + table(("setting", "value"), recipe.items())


def _purpose(evaluation: Evaluation, about: About) -> list[str]:
    classes = evaluation.classes
    named = ", ".join(classes[:30]) + (f" and {len(classes) - 30} more" if len(classes) > 30 else "")
    address = about.part("data").get("address")
    trained = f" It learnt from images of {cell(address)}." if address is not None else ""
    return [
        "## What it is for",
        "",
        f"It tells {len(classes)} classes apart: {cell(named)}.{trained}",
        "Every image gets one of these classes, also one that shows nothing of the kind.",
        "The figures hold for images like those measured here; on others, measure again with sparkdl evaluate.",
        "",
    ]


def _method(evaluation: Evaluation, about: About) -> list[str]:
    m = evaluation.metrics
    lines = [
        "## How it was measured",
        "",
        f"On {count(m['n'], 'image')}: {cell(about.images, _SENTENCE)}.",
        f"Not counted: {count(m['unreadable'], 'image')} that could not be decoded:"
        if m["unreadable"]
        else "All of them could be decoded.",
        "",
    ]
    if m["unreadable"]:
        bad = evaluation.unreadable[:_FILES]
        lines += table(("image", "reason", "detail"), [(image.name, image.reason, image.detail) for image in bad])
    return [
        *lines,
        "Intervals are at 95%. Those of accuracy and recall are Wilson's; those of the other averages come from",
        f"drawing the images again {RESAMPLES} times, with replacement (a bias-corrected bootstrap). They say what",
        "other images of the same source might show; not what another source would, nor another training.",
        "",
    ]


def _figures(evaluation: Evaluation) -> list[str]:
    m = evaluation.metrics
    rows = [("accuracy", with_interval(m["accuracy"], m["accuracy_interval"]))]
    for average in ("macro", "weighted"):
        for score in ("precision", "recall", "f1"):
            name = f"{'F1' if score == 'f1' else score}, {average}"
            rows.append((name, with_interval(m[f"{score}_{average}"], m[f"{score}_{average}_interval"])))
    rows.append(("ROC-AUC, one versus rest, mean", number(m["roc_auc"])))
    lines = ["## Figures", "", *table(("metric", "value"), rows)]
    if not evaluation.mistakes:
        lines += ["Without a mistake to draw, only accuracy and recall have intervals.", ""]
    return lines


def _failures(evaluation: Evaluation) -> list[str]:
    m, wrong = evaluation.metrics, len(evaluation.mistakes)
    lines = ["## Where it fails", ""]
    if not wrong:
        most = 1 - m["accuracy_interval"][0]
        return [*lines, f"No mistake among {count(m['n'], 'image')}; up to {most:.1%} of others may be mistakes.", ""]
    lines += [
        f"{count(wrong, 'mistake')} among {count(m['n'], 'image')}. What is taken for what, most often first:",
        "",
    ]
    matrix = np.array(m["confusion_matrix"])
    np.fill_diagonal(matrix, 0)
    top = [divmod(int(cell), len(matrix)) for cell in np.argsort(-matrix, axis=None, kind="stable")[:_PAIRS]]
    classes, support = evaluation.classes, [row["support"] for row in m["per_class"].values()]
    lines += table(
        ("class", "taken for", "images", "of the class"),
        [(classes[i], classes[j], matrix[i, j], f"{matrix[i, j] / support[i]:.1%}") for i, j in top if matrix[i, j]],
    )
    weak = sorted((row["recall"], name) for name, row in m["per_class"].items() if row["support"] and row["recall"] < 1)
    lines += ["The classes that are found least:", ""]
    lines += table(
        ("class", "recall", "images"),
        [
            (name, with_interval(recall, m["per_class"][name]["recall_interval"], 3), m["per_class"][name]["support"])
            for recall, name in weak[:_CLASSES]
        ],
    )
    told = m["calibration"]
    sure = (evaluation.confidences >= _SURE).sum()
    sure_wrong = int((evaluation.confidences[list(evaluation.mistakes)] >= _SURE).sum())
    right = (
        "" if told["mean_confidence_right"] is None else f" (right predictions: {told['mean_confidence_right']:.3f})"
    )
    lines += [
        f"The mean confidence of the mistakes is {told['mean_confidence_wrong']:.3f}{right}.",
        f"Mistakes among the {count(int(sure), 'prediction')} with a confidence of {_SURE} or more: {sure_wrong}.",
        "",
    ]
    return lines


def _calibration(evaluation: Evaluation, about: About) -> list[str]:
    told = evaluation.metrics["calibration"]
    chance = told["ece_if_calibrated"]
    return [
        "## Calibration",
        "",
        *table(
            ("metric", "value"),
            [
                ("mean confidence", number(told["mean_confidence"])),
                ("accuracy", number(evaluation.metrics["accuracy"])),
                ("expected calibration error (ECE), 15 bins of equal width", number(told["ece"])),
                ("ECE, 15 bins of equally many images", number(told["ece_equal_mass"])),
                ("Brier score, 0 to 2", number(told["brier"])),
                ("log loss, natural logarithm", number(told["log_loss"])),
            ],
        ),
        "By chance alone, a model with these confidences that is right exactly as often as it says would show an ECE",
        f"of {chance['mean']:.4f} on so many images, and in one case of 20 more than {chance['p95']:.4f}.",
        "",
        "![reliability](reliability.png)",
        "",
        *_review(evaluation, about),
    ]


def _review(evaluation: Evaluation, about: About) -> list[str]:
    """What the threshold of the stream's `needs_review` keeps."""
    found = evaluation.metrics["review"]
    if found is None:
        return []
    chosen = about.part("review")
    origin = ""
    if chosen.get("confidence") == found["below"]:
        origin = (
            f" It was chosen on {count(chosen['images'], 'image')} that the classifier was not fitted on, of which it "
            f"kept {chosen['kept']:.1%}, to allow {chosen['error_rate']:.1%} of mistakes among those."
        )
    wrong = "-" if found["errors"] is None else with_interval(found["errors"], found["errors_interval"])
    return [
        f"A prediction with a confidence below {found['below']:.4f} needs review.{origin} Here it gives:",
        "",
        *table(
            ("metric", "value"),
            [
                ("share that needs no review", with_interval(found["kept"], found["kept_interval"])),
                ("mistakes among those", wrong),
            ],
        ),
    ]


def _speed(evaluation: Evaluation) -> list[str]:
    speed = evaluation.metrics["throughput"]
    if speed is None:
        return []
    return [
        "## Speed",
        "",
        f"{speed['images_per_second']:.1f} images a second: {count(speed['images'], 'image')} in "
        f"{speed['seconds']:.1f} s on {count(speed['slots'], 'task slot')}.",
        "That is from the files to the predictions on the driver,",
        "with the start of Python workers and the loading of the network where those were not there yet, without the",
        "start of Spark.",
        "",
    ]


def _comparison(comparison: Comparison) -> list[str]:
    c = comparison.figures
    lines = [
        f"## Against {cell(comparison.against)}",
        "",
        f"On the {count(c['n'], 'image')} that both can classify:",
        "",
    ]
    lines += table(
        ("", "value"),
        [
            *(
                (c[who]["name"], with_interval(c[who]["accuracy"], c[who]["accuracy_interval"]))
                for who in ("model", "against")
            ),
            ("difference", with_interval(c["difference"], c["difference_interval"], sign=True)),
            ("p value, McNemar's exact test", f"{c['p_value']:.2g}"),
        ],
    )
    lines += table(
        ("images", f"{comparison.against} right", f"{comparison.against} wrong"),
        [
            (f"{comparison.model} right", c["both_right"], c["only_model_right"]),
            (f"{comparison.model} wrong", c["only_against_right"], c["both_wrong"]),
        ],
    )
    return [
        *lines,
        "The interval of the difference is Tango's, of paired shares. The p value is how often two equally good models",
        "would differ at least this much on the images that only one of them has right.",
        f"{count(c['different_predictions'], 'image')} got different predictions (differences.csv). Below, at most 16",
        "of which only this model is right, in green; 16 of which only the other is, in red; 8 of which neither is:",
        "",
        "![differences](differences.png)",
        "",
    ]


def _classes(evaluation: Evaluation) -> list[str]:
    rows = [
        (
            name,
            f"{row['precision']:.3f}",
            "-" if row["recall_interval"] is None else with_interval(row["recall"], row["recall_interval"], 3),
            f"{row['f1']:.3f}",
            number(row["roc_auc"]),
            row["support"],
        )
        for name, row in evaluation.metrics["per_class"].items()
    ]
    return ["## Per class", "", *table(("class", "precision", "recall", "F1", "ROC-AUC", "images"), rows)]


def _plots(lettering: Lettering) -> list[str]:
    lines = ["![confusion matrix](confusion_matrix.png)", "![ROC](roc.png)", ""]
    if lettering.numbered:
        index = {name: shown for name, shown in lettering.shown.items() if name in set(lettering.numbered)}
        lines += ["No font on the machine that drew the pictures has these names, so they stand there as numbers:", ""]
        lines += table(
            ("in the pictures", "class", "code points"),
            [(shown, name, " ".join(f"U+{ord(letter):04X}" for letter in name)) for name, shown in index.items()],
        )
    return lines


def _samples(evaluation: Evaluation) -> list[str]:
    return [
        "## Some images and what was predicted",
        "",
        "![samples](samples.png)",
        "",
        "## The mistakes, the most confident first",
        "",
        f"{len(evaluation.mistakes)} in all, the first of them:",
        "",
        "![misclassified](misclassified.png)",
        "",
    ]


def _versions(about: About) -> list[str]:
    versions = about.part("versions")
    return ["## Made with", "", *table(("library", "version"), versions.items())] if versions else []
