"""`sparkdl evaluate`: measure a model, or compare two."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.options import (
    MODEL,
    OUTPUT,
    Conf,
    Data,
    DataLayout,
    Ignore,
    ImageColumn,
    LabelColumn,
    Seed,
    make_directory,
)
from console.output import err, print_json, print_problems, print_reading
from console.progress import working
from console.session import start_spark
from console.tables import print_comparison, print_evaluation
from sparkdl.models.mlflow.address import FORMS as MODEL_FORMS
from sparkdl.system.extras import require_extra
from training.data.request import Layout

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from sparkdl.models.registry import ModelVersion
    from training.data.loading import Dataset
    from training.evaluation.evaluate import Evaluation


def evaluate(
    *,
    model: Annotated[
        str,
        typer.Option(help=MODEL_FORMS, metavar="MODEL", rich_help_panel=MODEL),
    ],
    against: Annotated[
        str | None,
        typer.Option(help="Model to compare with, on the same images.", metavar="MODEL", rich_help_panel=MODEL),
    ] = None,
    data: Data,
    seed: Seed = 0,
    ignore: Ignore = None,
    layout: DataLayout = Layout.AUTO,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    out_directory: Annotated[
        Path | None,
        typer.Option("--out", help="Directory to write a report to.", metavar="DIR", rich_help_panel=OUTPUT),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the metrics, or the comparison, as JSON.", rich_help_panel=OUTPUT)
    ] = False,
    conf: Conf = None,
) -> None:
    """Measure a model on labelled images, or compare two models."""
    require_extra("train", "sparkdl evaluate")
    from sparkdl.models.addresses import find_model
    from training.data.loading import open_dataset
    from training.evaluation.comparison import compare
    from training.reporting.provenance import evaluation_provenance, was_trained_on
    from training.reporting.report import write_report

    version = find_model(model)
    other = find_model(against) if against is not None else None
    whole = open_dataset(
        data,
        seed,
        ignore=ignore or (),
        layout=layout,
        image_column=image_column,
        label_column=label_column,
    )
    print_reading(whole)
    dataset = whole.to_evaluate()
    if whole.subsets:
        unused = ", ".join(f"{name} {count}" for name, count in whole.subsets.items() if name != whole.test_subset)
        err.print(
            f"evaluating on {whole.test_subset}, {len(dataset)} images; not used: {unused or 'none'}", soft_wrap=True
        )
    if out_directory is not None:
        make_directory(out_directory, "--out")
    for each in (version, *([other] if other else [])):
        if was_trained_on(each, dataset, seed):
            err.print(f"{each.name} was trained on images of {data}, so its metrics are too optimistic", soft_wrap=True)
    spark = start_spark(conf or ())
    evaluation = _measure(spark, version, dataset)
    comparison = None
    if other is not None:
        # Two versions of different registries, or two bare pipelines, may have one name.
        named = version.name != other.name
        names = (version.name, other.name) if named else (model, str(against))
        comparison = compare(names[0], evaluation, names[1], _measure(spark, other, dataset))
    if out_directory is not None:
        write_report(out_directory, evaluation, dataset, evaluation_provenance(version, dataset, seed), comparison)
        err.print(f"report in {out_directory}", soft_wrap=True)
    if comparison is not None:
        print_json(comparison.figures) if as_json else print_comparison(comparison)
    else:
        print_json(evaluation.metrics) if as_json else print_evaluation(evaluation)


def _measure(spark: SparkSession, version: ModelVersion, dataset: Dataset) -> Evaluation:
    from training.evaluation.evaluate import evaluate

    with working(f"evaluating {version.name} on {len(dataset)} images"):
        evaluation = evaluate(spark, version.load(), dataset, version.review_below)
    print_problems([f"{image.name}: {image.reason}, {image.detail}" for image in evaluation.unreadable])
    return evaluation
