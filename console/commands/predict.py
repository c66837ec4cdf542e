"""`sparkdl predict`: classify image files, without a stream."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.options import MODEL, OUTPUT, Conf, Ignore
from console.output import Format, err, print_left_out, print_rows
from console.progress import working
from console.session import start_spark
from sparkdl.errors import RequestError
from sparkdl.models.mlflow.address import FORMS as MODEL_FORMS

if TYPE_CHECKING:
    from sparkdl.inference.classifier import Classifier
    from sparkdl.models.registry import ModelVersion


def predict(
    paths: Annotated[list[Path], typer.Argument(help="Image files, or directories of them.", metavar="PATH")],
    model: Annotated[
        str,
        typer.Option(
            help=f"{MODEL_FORMS}; or imagenet: 1,000 everyday classes, untrained.",
            metavar="MODEL",
            rich_help_panel=MODEL,
        ),
    ] = "models",
    form: Annotated[
        Format, typer.Option("--format", help="Output format.", metavar="|".join(Format), rich_help_panel=OUTPUT)
    ] = Format.TABLE,
    ignore: Ignore = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Classes to keep in probabilities; by default as in a stream.",
            metavar="N",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    conf: Conf = None,
) -> None:
    """Classify image files and print one row for each."""
    from sparkdl.formats.image_files import list_images
    from sparkdl.inference.top_k import entries_kept
    from sparkdl.models.addresses import find_model
    from sparkdl.system.files import check_readable
    from sparkdl.system.ignored_names import IgnoredNames
    from sparkdl.system.left_out import LeftOut
    from training.data.loading import Dataset, LabelledImage
    from training.data.names import valid

    ignored = IgnoredNames(ignore or ())
    version = None if _is_imagenet(model) else find_model(model)
    files: list[Path] = []
    left_out = LeftOut()
    for path in paths:
        try:
            if not path.exists():
                raise RequestError(f"no such file or directory: {path}")
            check_readable(path)
            found = [path / name for name in list_images(path, left_out, ignored)] if path.is_dir() else [path]
        except OSError as error:
            raise RequestError(f"{path} cannot be read: {error.strerror}") from error
        if not found:
            raise RequestError(f"{path}: no image files in it{f' ({left_out})' if left_out else ''}")
        files += found
    print_left_out(left_out)
    images = Dataset("", tuple(LabelledImage(valid(str(path)), "", path) for path in files))
    from training.data.dataframes import encoded_rows

    spark = start_spark(conf or ())
    with working(f"classifying {len(files)} images with {model if version is None else version.name}"):
        classifier = _classifier(version)
        rows = [
            row.asDict()
            for row in classifier.classify(
                encoded_rows(spark, images), top_k=entries_kept(classifier.classes) if top_k is None else top_k
            )
            .drop("payload", "origin", "label")
            .orderBy("id")
            .collect()
        ]
    for row in rows:
        row["probabilities"] = _most_probable_first(row["probabilities"], len(classifier.classes or ()))
    print_rows(rows, ("id", "prediction", "confidence", "reason"), form)
    failed = sum(row["reason"] is not None for row in rows)
    if failed:
        err.print(f"{failed} of {len(rows)} could not be classified", soft_wrap=True)


def _most_probable_first(probabilities: dict[str, float] | None, class_count: int) -> dict[str, float] | None:
    """Return probabilities with the highest first if some classes were left out; a map of Spark has no order."""
    if probabilities is None or len(probabilities) >= class_count:
        return probabilities
    return dict(sorted(probabilities.items(), key=lambda entry: -entry[1]))


def _is_imagenet(model: str) -> bool:
    """Whether a model is the one of ImageNet; a registry or model of that name comes first."""
    return model == "imagenet" and not Path(model).exists()


def _classifier(version: ModelVersion | None) -> Classifier:
    if version is not None:
        return version.load()
    from sparkdl.inference.imagenet import imagenet_classifier

    return imagenet_classifier()
