"""`sparkdl train` and `sparkdl evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from console.output import err, make_directory, out, print_json, print_problems, progressing, start_spark, working

if TYPE_CHECKING:
    from training.evaluate import Evaluation
    from training.train import Trained

Data = Annotated[
    str, typer.Option(help="Labelled images: a directory, FILE.npz, kaggle:OWNER/NAME, or 'samples' for drawn digits.")
]
Models = Annotated[Path, typer.Option(help="The registry of models.", envvar="SPARKDL_MODELS")]
Conf = Annotated[list[str] | None, typer.Option(help="A Spark setting; can be repeated.", metavar="KEY=VALUE")]


def train(
    data: Data,
    recipe: Annotated[str, typer.Option(help="digits, digits-large, photos or original.")] = "digits",
    models: Models = Path("models"),
    seed: Annotated[int, typer.Option(help="Of the split, and of drawn samples.")] = 0,
    test_fraction: Annotated[float, typer.Option(help="The part of each class that is kept for testing.")] = 0.2,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the recipe; can be repeated.", metavar="KEY=VALUE")
    ] = None,
    promote: Annotated[bool, typer.Option(help="Make this the model that the registry stands for.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics as JSON.")] = False,
    conf: Conf = None,
) -> None:
    """Train on labelled images, evaluate on a part kept aside, save and promote."""
    from training.datasets import open_dataset
    from training.fit import prepare
    from training.recipes import recipe as find_recipe
    from training.registry import Registry
    from training.train import train as run

    chosen = find_recipe(recipe, settings or ())
    dataset = open_dataset(data, seed)
    registry = Registry(models)
    dataset.split(test_fraction, seed)  # refuses what cannot be split, before Spark is started
    registry.make()
    err.print(f"{len(dataset)} images of {len(dataset.classes)} classes in {data}; recipe {chosen.name}")
    print_problems(dataset.problems)
    if (copies := dataset.copies).count:
        err.print(f"{copies.count} of {len(dataset)} images are copies of others: each kept on one side of the split")
        print_problems(copies.conflicts, "problem")
    with working(f"preparing {chosen.model_name}"):
        prepare(chosen)  # made or refused before Spark is started
    spark = start_spark(conf or ())
    with progressing() as progress:
        trained = run(
            spark, dataset, chosen, registry, seed=seed, test_fraction=test_fraction, promote=promote, progress=progress
        )
    unreadable = (*trained.unreadable, *trained.evaluation.unreadable)
    print_problems([f"{image.name}: {image.reason}, {image.detail}" for image in unreadable])
    if as_json:
        print_json(trained.evaluation.metrics)
    else:
        print_evaluation(trained.evaluation, samples=10)
    _say_where(trained, promoted=promote)


def _say_where(trained: Trained, *, promoted: bool) -> None:
    err.print(
        f"trained on {trained.images} images in {trained.fit_seconds:.1f} s, tested in {trained.test_seconds:.1f} s; "
        f"saved {'and promoted ' if promoted else ''}as {trained.version.path}",
        soft_wrap=True,
    )


def evaluate(
    model: Annotated[str, typer.Option(help="A registry, a version, or a saved PipelineModel.")],
    data: Data,
    out_directory: Annotated[Path | None, typer.Option("--out", help="Write the report there.")] = None,
    seed: Annotated[int, typer.Option(help="Of drawn samples.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics as JSON.")] = False,
    conf: Conf = None,
) -> None:
    """Measure a model on labelled images."""
    from training.datasets import open_dataset
    from training.evaluate import evaluate as run
    from training.registry import resolve_model
    from training.report import write_report

    version = resolve_model(model)
    dataset = open_dataset(data, seed)
    if out_directory is not None:
        make_directory(out_directory, "--out")
    spark = start_spark(conf or ())
    with working(f"evaluating {version.name} on {len(dataset)} images"):
        evaluation = run(spark, version.load(), dataset)
    if out_directory is not None:
        write_report(out_directory, evaluation, dataset, {"model": version.name, "data": data})
        err.print(f"report in {out_directory}")
    if as_json:
        print_json(evaluation.metrics)
    else:
        print_evaluation(evaluation)


def print_figures(evaluation: Evaluation) -> None:
    """Prints the figures over all classes."""
    m: dict[str, Any] = evaluation.metrics
    low, high = m["accuracy_interval"]
    summary = Table(title=f"{m['n']} test images", title_justify="left", show_header=False)
    summary.add_row("accuracy", f"{m['accuracy']:.4f}  (95% interval {low:.4f} to {high:.4f})")
    for key in ("precision_weighted", "recall_weighted", "f1_weighted", "f1_macro", "roc_auc"):
        summary.add_row(key.replace("_", " "), "-" if m[key] is None else f"{m[key]:.4f}")
    out.print(summary)


def print_evaluation(evaluation: Evaluation, samples: int = 0) -> None:
    """Prints the figures, the report of each class, the confusion matrix, and some predicted samples."""
    from training.report import sample_rows

    print_figures(evaluation)
    m: dict[str, Any] = evaluation.metrics
    report = Table("class", "precision", "recall", "f1", "images", title="Per class", title_justify="left")
    for name, row in m["per_class"].items():
        report.add_row(name, f"{row['precision']:.3f}", f"{row['recall']:.3f}", f"{row['f1']:.3f}", str(row["support"]))
    out.print(report)
    if len(evaluation.classes) <= 12:
        title = "Confusion matrix: a row a true class, a column a predicted one"
        matrix = Table("", *evaluation.classes, title=title, title_justify="left")
        for name, counts in zip(evaluation.classes, m["confusion_matrix"], strict=True):
            matrix.add_row(name, *(str(count or ".") for count in counts))
        out.print(matrix)
    if samples:
        table = Table("image", "label", "prediction", "confidence", title="Predicted samples", title_justify="left")
        for image, label, prediction, confidence in sample_rows(evaluation)[:samples]:
            table.add_row(image, label, prediction, f"{confidence:.4f}", style=None if label == prediction else "red")
        out.print(table)
