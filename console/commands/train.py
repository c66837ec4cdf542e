"""`sparkdl train`: train a model on labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.mlflow import MlflowExperiment, log_training, open_tracking
from console.options import MODEL, OUTPUT, Conf, Data, DataLayout, Ignore, ImageColumn, LabelColumn, Models, Seed
from console.output import err, print_json, print_problems, print_reading
from console.progress import progressing, working
from console.session import start_spark
from console.tables import print_evaluation
from sparkdl.models.mlflow.address import EXPERIMENT
from sparkdl.system.extras import require_extra
from training.data.request import Layout

if TYPE_CHECKING:
    from training.data.dataset import Dataset
    from training.train import Trained


_TRAINING = "Training"


def _recipes(incomplete: str) -> list[str]:
    """Return the names of recipes that a shell can complete."""
    from training.fitting.recipes import RECIPES

    return [name for name in RECIPES if name.startswith(incomplete)]


def train(
    *,
    data: Data,
    seed: Seed = 0,
    ignore: Ignore = None,
    layout: DataLayout = Layout.AUTO,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    recipe: Annotated[
        str,
        typer.Option(
            help="digits, digits-large, photos or original.",
            metavar="NAME",
            rich_help_panel=_TRAINING,
            autocompletion=_recipes,
        ),
    ] = "digits",
    test_fraction: Annotated[
        float,
        typer.Option(
            help="Fraction of each class that is held out for testing.", metavar="NUMBER", rich_help_panel=_TRAINING
        ),
    ] = 0.2,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Setting of the recipe; can be repeated.", metavar="KEY=VALUE", rich_help_panel=_TRAINING
        ),
    ] = None,
    models: Models = Path("models"),
    promote: Annotated[bool, typer.Option(help="Promote the new version.", rich_help_panel=MODEL)] = True,
    mlflow: Annotated[
        str | None,
        typer.Option(help="MLflow server to log the run to.", metavar="URI", rich_help_panel=OUTPUT),
    ] = None,
    mlflow_experiment: MlflowExperiment = EXPERIMENT,
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics as JSON.", rich_help_panel=OUTPUT)] = False,
    conf: Conf = None,
) -> None:
    """Train a model on labelled images, measure it on a held-out part, save it and promote it."""
    require_extra("train", "sparkdl train")
    server = None if mlflow is None else open_tracking(mlflow)
    from sparkdl.models.registry import Registry
    from training.data.loading import open_dataset
    from training.fitting.features import check_requirements, prepare_network
    from training.fitting.recipes import recipe as find_recipe
    from training.train import train as run

    chosen = find_recipe(recipe, settings or ())
    check_requirements(chosen)  # before any image is read
    dataset = open_dataset(
        data,
        seed,
        ignore=ignore or (),
        layout=layout,
        image_column=image_column,
        label_column=label_column,
    )
    registry = Registry(models)
    training_set, test_set = dataset.split(test_fraction, seed)  # refuses what cannot be split, before Spark is started
    registry.make()
    err.print(
        f"{len(dataset)} images of {len(dataset.classes)} classes in {data}; recipe {chosen.name}", soft_wrap=True
    )
    print_reading(dataset)
    if dataset.test_subset is not None:
        _say_split(dataset, training_set, test_set)
    if (duplicates := dataset.duplicates).count:
        err.print(
            f"{duplicates.count} of {len(dataset)} images are duplicates; the split keeps duplicates together",
            soft_wrap=True,
        )
        print_problems(duplicates.conflicts, "problem")
    with working(f"preparing {chosen.model_name}"):
        prepare_network(chosen)  # built or refused before Spark starts
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
    if server is not None:
        log_training(server, trained.version, mlflow_experiment)


def _say_split(dataset: Dataset, training_set: Dataset, test_set: Dataset) -> None:
    """Say which subset is used for what, since the directory decides it."""
    from training.data.dataset import Subset

    parts = ", ".join(f"{name} {count}" for name, count in dataset.subsets.items())
    err.print(
        f"the dataset has its own split ({parts}), so --test-fraction has no effect: "
        f"{len(training_set)} images to train on, {len(test_set)} of {dataset.test_subset} to test on",
        soft_wrap=True,
    )
    if same := dataset.subsets[Subset.TRAIN] - len(training_set):
        err.print(
            f"{same} images are not used for training: {dataset.test_subset} has the same pictures", soft_wrap=True
        )
    if unused := sum(
        count for name, count in dataset.subsets.items() if name not in (Subset.TRAIN, dataset.test_subset)
    ):
        err.print(
            f"{unused} images of {Subset.VAL} are not used; to measure on them, run sparkdl evaluate on their folder "
            "or on a table of their rows",
            soft_wrap=True,
        )


def _say_where(trained: Trained, *, promoted: bool) -> None:
    err.print(
        f"trained on {trained.images} images in {trained.fit_seconds:.1f} s, tested in {trained.test_seconds:.1f} s; "
        f"saved {'and promoted ' if promoted else ''}as {trained.version.path}",
        soft_wrap=True,
    )
