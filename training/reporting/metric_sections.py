"""The sections of a model card with metrics: averages, limitations, calibration, speed, comparison, classes."""

from __future__ import annotations

from training.evaluation.comparison import Comparison
from training.evaluation.evaluate import Evaluation, weakest_classes
from training.reporting.markdown import cell, count, number, table, with_interval
from training.reporting.provenance import Provenance

_MAX_PAIRS, _MAX_WEAK_CLASSES = 10, 5  # rows
_MAX_CLASSES = 100  # rows
_HIGH_CONFIDENCE = 0.9


def metrics_section(evaluation: Evaluation) -> list[str]:
    """Return the section with accuracy, the averages over classes and ROC-AUC."""
    m = evaluation.metrics
    rows = [("accuracy", with_interval(m["accuracy"], m["accuracy_interval"]))]
    for average in ("macro", "weighted"):
        for score in ("precision", "recall", "f1"):
            name = f"{'F1' if score == 'f1' else score}, {average}"
            rows.append((name, with_interval(m[f"{score}_{average}"], m[f"{score}_{average}_interval"])))
    rows.append(("ROC-AUC, one versus rest, mean", number(m["roc_auc"])))
    lines = ["## Metrics", "", *table(("metric", "value"), rows)]
    if not evaluation.mistakes:
        lines += ["Without mistakes, only accuracy and recall have intervals.", ""]
    return lines


def limitations_section(evaluation: Evaluation) -> list[str]:
    """Return the section with the most frequent confusions, the weakest classes and the confidence of mistakes."""
    m, wrong = evaluation.metrics, len(evaluation.mistakes)
    lines = ["## Limitations", ""]
    if not wrong:
        bound = 1 - m["accuracy_interval"][0]
        return [
            *lines,
            f"No mistakes in {count(m['n'], 'image')}; the error rate on other images may be up to {bound:.1%}.",
            "",
        ]
    lines += [f"{count(wrong, 'mistake')} in {count(m['n'], 'image')}. The most frequent confusions:", ""]
    classes, support = evaluation.classes, [row["support"] for row in m["per_class"].values()]
    lines += table(
        ("class", "predicted as", "images", "share of the class"),
        [(classes[i], classes[j], n, f"{n / support[i]:.1%}") for i, j, n in evaluation.confusions(_MAX_PAIRS)],
    )
    weak = sorted((row["recall"], name) for name, row in m["per_class"].items() if row["support"] and row["recall"] < 1)
    lines += ["The classes with the lowest recall:", ""]
    lines += table(
        ("class", "recall", "images"),
        [
            (name, with_interval(recall, m["per_class"][name]["recall_interval"], 3), m["per_class"][name]["support"])
            for recall, name in weak[:_MAX_WEAK_CLASSES]
        ],
    )
    calibration = m["calibration"]
    confident = int((evaluation.confidences >= _HIGH_CONFIDENCE).sum())
    confident_mistakes = int((evaluation.confidences[list(evaluation.mistakes)] >= _HIGH_CONFIDENCE).sum())
    mean_right = calibration["mean_confidence_right"]
    right = "" if mean_right is None else f" (right predictions: {mean_right:.3f})"
    return [
        *lines,
        f"The mean confidence of the mistakes is {calibration['mean_confidence_wrong']:.3f}{right}.",
        f"Of {count(confident, 'prediction')} with a confidence of at least {_HIGH_CONFIDENCE}, "
        f"{confident_mistakes} {'is a mistake' if confident_mistakes == 1 else 'are mistakes'}.",
        "",
    ]


def calibration_section(evaluation: Evaluation, provenance: Provenance) -> list[str]:
    """Return the section with calibration errors, the reliability diagram, and the review threshold's coverage."""
    calibration = evaluation.metrics["calibration"]
    chance = calibration["ece_if_calibrated"]
    return [
        "## Calibration",
        "",
        *table(
            ("metric", "value"),
            [
                ("mean confidence", number(calibration["mean_confidence"])),
                ("accuracy", number(evaluation.metrics["accuracy"])),
                ("expected calibration error (ECE), 15 bins of equal width", number(calibration["ece"])),
                ("ECE, 15 bins of equally many images", number(calibration["ece_equal_mass"])),
                ("Brier score, 0 to 2", number(calibration["brier"])),
                ("log loss, natural logarithm", number(calibration["log_loss"])),
            ],
        ),
        f"A perfectly calibrated model with these confidences would show an ECE of {chance['mean']:.4f} on this many",
        f"images by chance alone, and more than {chance['p95']:.4f} in 5% of cases.",
        "",
        "![reliability](reliability.png)",
        "",
        *_review(evaluation, provenance),
    ]


def _review(evaluation: Evaluation, provenance: Provenance) -> list[str]:
    """Return coverage and error rate of the review threshold, which the stream applies as `needs_review`."""
    found = evaluation.metrics["review"]
    if found is None:
        return []
    chosen = provenance.section("review")
    origin = ""
    if chosen.get("confidence") == found["threshold"] and {"images", "error_rate", "coverage"} <= chosen.keys():
        origin = (
            f" The threshold was chosen on {count(chosen['images'], 'holdout image')} for an error rate of at most "
            f"{chosen['error_rate']:.1%}; its coverage there was {chosen['coverage']:.1%}."
        )
    error = "-" if found["error"] is None else with_interval(found["error"], found["error_interval"])
    return [
        f"Predictions with a confidence of at least {found['threshold']:.4f} are auto-accepted; "
        f"the others need review.{origin} On these images:",
        "",
        *table(
            ("metric", "value"),
            [
                ("coverage (auto-accepted)", with_interval(found["coverage"], found["coverage_interval"])),
                ("error rate of auto-accepted predictions", error),
            ],
        ),
    ]


def speed_section(evaluation: Evaluation) -> list[str]:
    """Return the section with the throughput; empty if it was not measured."""
    speed = evaluation.metrics["throughput"]
    if speed is None:
        return []
    return [
        "## Speed",
        "",
        f"{speed['images_per_second']:.1f} images per second: {count(speed['images'], 'image')} in "
        f"{speed['seconds']:.1f} s with a parallelism of {speed['parallelism']}.",
        "The time is from reading the files to the predictions on the driver. It includes starting Python workers and",
        "loading the network, if they were not running yet, and excludes starting Spark.",
        "",
    ]


def comparison_section(comparison: Comparison) -> list[str]:
    """Return the section with the comparison with another model."""
    c = comparison.figures
    lines = [
        f"## Comparison with {cell(comparison.against)}",
        "",
        f"On the {count(c['n'], 'image')} that both models can classify:",
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
        "The interval of the difference is Tango's score interval for paired shares. The p value is the probability",
        "that two equally accurate models differ at least this much on the images that only one of them has right.",
        f"The models predict different classes for {count(c['different_predictions'], 'image')} (differences.csv).",
        "The picture shows up to 16 images that only this model has right (green), 16 that only the other has right",
        "(red), and 8 that both have wrong:",
        "",
        "![differences](differences.png)",
        "",
    ]


def class_section(evaluation: Evaluation) -> list[str]:
    """Return the section with the metrics of each class, of many classes of those with the lowest recall."""
    m = evaluation.metrics["per_class"]
    shown = weakest_classes(evaluation, _MAX_CLASSES)
    left = len(m) - len(shown)
    note = (
        [f"The {len(shown)} classes with the lowest recall; per_class.csv has the other {left} too.", ""]
        if left
        else []
    )
    rows = [
        (
            name,
            f"{row['precision']:.3f}",
            "-" if row["recall_interval"] is None else with_interval(row["recall"], row["recall_interval"], 3),
            f"{row['f1']:.3f}",
            number(row["roc_auc"]),
            row["support"],
        )
        for name, row in ((name, m[name]) for name in shown)
    ]
    return ["## Per class", "", *note, *table(("class", "precision", "recall", "F1", "ROC-AUC", "images"), rows)]
