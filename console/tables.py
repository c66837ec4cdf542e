"""Tables of an evaluation and of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from console.output import out

if TYPE_CHECKING:
    from training.evaluation.comparison import Comparison
    from training.evaluation.evaluate import Evaluation


_MAX_CLASSES = 100  # rows


def print_figures(evaluation: Evaluation) -> None:
    """Print the metrics over all classes."""
    m: dict[str, Any] = evaluation.metrics
    summary = Table(title=f"{m['n']} test images", title_justify="left", show_header=False)
    names = ("accuracy", *(f"{s}_{a}" for a in ("macro", "weighted") for s in ("precision", "recall", "f1")))
    for name in names:
        summary.add_row(name.replace("_", " "), _with_interval(m[name], m[f"{name}_interval"]))
    summary.add_row("roc auc", "-" if m["roc_auc"] is None else f"{m['roc_auc']:.4f}")
    summary.add_row("calibration error", f"{m['calibration']['ece']:.4f}")
    if m["review"]:
        error = "" if m["review"]["error"] is None else f", error {m['review']['error']:.1%}"
        threshold = f"confidence at least {m['review']['threshold']:.2f}"
        summary.add_row("auto-accepted", f"coverage {m['review']['coverage']:.1%}{error} ({threshold})")
    if m["throughput"]:
        summary.add_row("images per second", f"{m['throughput']['images_per_second']:.1f}")
    out.print(summary)


def print_evaluation(evaluation: Evaluation, samples: int = 0) -> None:
    """Print the metrics, a row per class, the confusion matrix and some predictions."""
    from training.evaluation.evaluate import weakest_classes
    from training.reporting.report import sample_rows

    print_figures(evaluation)
    m: dict[str, Any] = evaluation.metrics
    shown = weakest_classes(evaluation, _MAX_CLASSES)
    few = len(shown) < len(evaluation.classes)
    title = f"The {len(shown)} classes of lowest recall, of {len(evaluation.classes)}" if few else "Per class"
    report = Table("class", "precision", "recall", "f1", "images", title=title, title_justify="left")
    for name, row in ((name, m["per_class"][name]) for name in shown):
        report.add_row(name, f"{row['precision']:.3f}", f"{row['recall']:.3f}", f"{row['f1']:.3f}", str(row["support"]))
    out.print(report)
    if len(evaluation.classes) <= 12:
        title = "Confusion matrix: true classes in rows, predicted classes in columns"
        matrix = Table("", *evaluation.classes, title=title, title_justify="left")
        for name, counts in zip(evaluation.classes, m["confusion_matrix"], strict=True):
            matrix.add_row(name, *(str(count or ".") for count in counts))
        out.print(matrix)
    if samples:
        table = Table("image", "label", "prediction", "confidence", title="Predicted samples", title_justify="left")
        for image, label, prediction, confidence in sample_rows(evaluation)[:samples]:
            table.add_row(image, label, prediction, f"{confidence:.4f}", style=None if label == prediction else "red")
        out.print(table)


def print_comparison(comparison: Comparison) -> None:
    """Print both accuracies, their difference with its p-value, and how often each model is right."""
    c = comparison.figures
    summary = Table(title=f"{c['n']} images that both models can classify", title_justify="left", show_header=False)
    for told in (c["model"], c["against"]):
        summary.add_row(told["name"], _with_interval(told["accuracy"], told["accuracy_interval"]))
    summary.add_row("difference", _with_interval(c["difference"], c["difference_interval"], "+.4f"))
    summary.add_row("p, McNemar's exact test", f"{c['p_value']:.2g}")
    out.print(summary)
    right = Table("images", "other right", "other wrong", title=f"Against {comparison.against}", title_justify="left")
    right.add_row("this one right", str(c["both_right"]), str(c["only_model_right"]))
    right.add_row("this one wrong", str(c["only_against_right"]), str(c["both_wrong"]))
    out.print(right)


def _with_interval(value: float, interval: Sequence[float] | None, form: str = ".4f") -> str:
    if interval is None:
        return format(value, form)
    low, high = (format(limit, form) for limit in interval)
    return f"{format(value, form)}  (95% interval {low} to {high})"
