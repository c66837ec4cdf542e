"""`sparkdl models import`: a classifier from a file becomes a version, a network without one a backbone."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.options import IMAGES, LABELS, MODEL, Conf, Models
from console.output import err
from console.progress import working
from console.session import start_spark
from sparkdl.errors import RequestError, unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from pyspark.sql import SparkSession

    from sparkdl.networks.imported.description import Described, Normalization
    from training.data.dataset import Dataset

_SPEED = "Speed"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,59}")


class Precision(StrEnum):
    """Number type of a network."""

    FLOAT32 = "float32"
    INT8 = "int8"


class Channels(StrEnum):
    """Order of channels."""

    RGB = "RGB"
    BGR = "BGR"


class Layout(StrEnum):
    """Order of dimensions."""

    NCHW = "NCHW"
    NHWC = "NHWC"


class Activation(StrEnum):
    """What makes probabilities of the output."""

    SOFTMAX = "softmax"
    SIGMOID = "sigmoid"
    NONE = "none"


def import_model(
    source: Annotated[
        str,
        typer.Argument(
            help="FILE.onnx, FILE.keras, FILE.h5, a Hugging Face folder, or hf:OWNER/NAME.", metavar="SOURCE"
        ),
    ],
    models: Models = Path("models"),
    name: Annotated[
        str | None,
        typer.Option(
            help="End of the version's name; by default that of the file.", metavar="NAME", rich_help_panel=MODEL
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="Name of a network without classes, for --set model_name=NAME.", metavar="NAME", rich_help_panel=MODEL
        ),
    ] = None,
    promote: Annotated[bool, typer.Option(help="Promote the new version.", rich_help_panel=MODEL)] = True,
    input_size: Annotated[
        str | None,
        typer.Option(help="Size of the network's input, if it is free.", metavar="N|HxW", rich_help_panel=IMAGES),
    ] = None,
    resize: Annotated[
        str | None,
        typer.Option(
            help="Resize the shorter side to N, or the image to HxW, then cut the centre out.",
            metavar="N|HxW",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    resample: Annotated[
        str | None,
        typer.Option(
            help="Filter for resizing, by Pillow's name; by default bilinear.",
            metavar="FILTER",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    normalize: Annotated[
        str | None,
        typer.Option(
            help="Pixels: none (0 to 255), unit (0 to 1), symmetric (-1 to 1), imagenet or caffe.",
            metavar="NAME",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(help="Factor of pixels, before --mean; by default 1/255.", metavar="X", rich_help_panel=IMAGES),
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(help="Mean of each channel, after --scale.", metavar="M,M,M", rich_help_panel=IMAGES),
    ] = None,
    std: Annotated[
        str | None, typer.Option(help="Deviation of each channel.", metavar="S,S,S", rich_help_panel=IMAGES)
    ] = None,
    channels: Annotated[
        Channels | None,
        typer.Option(help="Order of the channels; by default RGB.", metavar="|".join(Channels), rich_help_panel=IMAGES),
    ] = None,
    layout: Annotated[
        Layout | None,
        typer.Option(
            help="Order of the dimensions, if it is not clear.", metavar="|".join(Layout), rich_help_panel=IMAGES
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Names of the classes: one a line, or JSON.", metavar="FILE", rich_help_panel=LABELS),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(help="Output to use, if there are several.", metavar="NAME", rich_help_panel=LABELS),
    ] = None,
    activation: Annotated[
        Activation | None,
        typer.Option(
            help="Function from the output to probabilities; by default by its last operator.",
            metavar="|".join(Activation),
            rich_help_panel=LABELS,
        ),
    ] = None,
    multi_label: Annotated[
        bool | None,
        typer.Option(
            "--multi-label/--single-label",
            help="Whether an image can have several classes.",
            rich_help_panel=LABELS,
        ),
    ] = None,
    label_threshold: Annotated[
        float | None,
        typer.Option(
            help="Probability from which on an image has a class; by default 0.5.", metavar="P", rich_help_panel=LABELS
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(help="Images per call of the network; by default 8.", metavar="N", rich_help_panel=_SPEED),
    ] = None,
    precision: Annotated[
        Precision,
        typer.Option(
            help="int8 is faster and slightly less accurate; it needs --data.",
            metavar="|".join(Precision),
            rich_help_panel=_SPEED,
        ),
    ] = Precision.FLOAT32,
    data: Annotated[
        str | None,
        typer.Option(help="Images to quantize on, as for sparkdl train.", metavar="DATA", rich_help_panel=_SPEED),
    ] = None,
    conf: Conf = None,
) -> None:
    """Import a classifier as a version, or a backbone for recipes.

    A version can be streamed at once. A backbone has no classes: train on it with --set model_name=NAME.
    """
    from sparkdl.networks.imported.settings import check_batch_size, check_threshold
    from sparkdl.networks.imported.sources import check_source, read_source

    if name is not None and not _NAME.fullmatch(name):
        raise RequestError(f"--name: expected letters, digits, _, - and ., up to 60; received {name!r}")
    if label_threshold is not None:
        check_threshold(label_threshold)
    if batch_size is not None:
        check_batch_size(batch_size)
    if (precision is Precision.INT8) != (data is not None):
        raise RequestError("--precision int8 and --data go together: a network is quantized on images")
    if backbone is not None and data is not None:
        raise RequestError("--backbone: a recipe quantizes it (--set precision=int8), omit --precision and --data")
    stated = _described(labels, normalize, mean, std, scale, input_size, resize, resample)
    stated = stated.over(_enumerated(channels=channels, layout=layout, activation=activation, multi_label=multi_label))
    check_source(source)
    with working(f"reading {source}"):
        foreign = read_source(source, stated)
    from sparkdl.models.importing import prepare_import, save_backbone, save_import

    if backbone is not None:
        with working(f"trying {foreign.origin}"):
            path = save_backbone(foreign, backbone, output=output)
        err.print(
            f"saved as {path}; use it with: sparkdl train --recipe photos --set model_name={backbone}", soft_wrap=True
        )
        return
    with working(f"trying {foreign.origin}"):
        model = prepare_import(foreign, output=output, threshold=label_threshold, batch_size=batch_size)
    from sparkdl.models.registry import Registry

    registry = Registry(models)
    registry.make()
    dataset = None if data is None else _open(data)
    spark = start_spark(conf or ())
    calibration = None if dataset is None else _calibration(spark, dataset)
    with working("saving"):
        version = save_import(spark, model, registry, name=name, calibration=calibration, promote=promote)
    height, width, _ = model.settings.input_shape
    saved = "saved and promoted" if promote else "saved"
    err.print(
        f"{len(model.labels)} classes, {height} x {width} px; {saved} as {version.path}",
        soft_wrap=True,
    )


def _enumerated(**given: Any) -> Described:
    from sparkdl.networks.imported.description import Described

    values: dict[str, Any] = {key: value.value if isinstance(value, StrEnum) else value for key, value in given.items()}
    return Described(**values)


def _described(
    labels: Path | None,
    normalize: str | None,
    mean: str | None,
    std: str | None,
    scale: float | None,
    input_size: str | None,
    resize: str | None,
    resample: str | None,
) -> Described:
    from sparkdl.networks.framing import Framing
    from sparkdl.networks.imported.description import RESAMPLINGS, Described
    from sparkdl.networks.imported.labels import read_labels

    size = None if input_size is None else _size("--input-size", input_size)
    filter_ = None if resample is None else resample.upper()
    if filter_ is not None and filter_ not in RESAMPLINGS:
        raise unknown("--resample", resample or "", [known.lower() for known in RESAMPLINGS])
    named, order = _normalization(normalize, mean, std, scale)
    return Described(
        input_size=(size, size) if isinstance(size, int) else size,
        framing=None if resize is None else Framing(_size("--resize", resize)),
        resample=None if filter_ is None else RESAMPLINGS[filter_],
        normalization=named,
        labels=None if labels is None else read_labels(labels),
    ).over(_enumerated(channels=order))


def _normalization(
    name: str | None, mean: str | None, std: str | None, scale: float | None
) -> tuple[Normalization | None, str | None]:
    """Return the normalization that flags state, and the order of channels that goes with a named one."""
    from sparkdl.networks.imported.description import Normalization, normalization

    numbers = {"--mean": mean, "--std": std, "--scale": scale}
    given = [flag for flag, value in numbers.items() if value is not None]
    if name is None:
        if not given:
            return None, None
        default = Normalization()
        return (
            Normalization(
                default.scale if scale is None else scale,
                default.mean if mean is None else _numbers("--mean", mean),
                default.std if std is None else _numbers("--std", std),
            ),
            None,
        )
    if given:
        raise RequestError(f"--normalize {name} states {', '.join(given)} too: omit one of them")
    return normalization(name)


def _numbers(flag: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise RequestError(f"{flag}: expected numbers separated by commas, received {text!r}") from error


def _size(flag: str, text: str) -> int | tuple[int, int]:
    matched = re.fullmatch(r"(\d{1,4})(?:x(\d{1,4}))?", text)
    if matched is None or "0" in (matched[1].lstrip("0") or "0", (matched[2] or "1").lstrip("0") or "0"):
        raise RequestError(f"{flag}: expected pixels as N or HEIGHTxWIDTH, received {text!r}")
    return int(matched[1]) if matched[2] is None else (int(matched[1]), int(matched[2]))


def _open(data: str) -> Dataset:
    from training.data.loading import open_dataset

    return open_dataset(data, 0)


def _calibration(spark: SparkSession, dataset: Dataset) -> Sequence[NDArray[np.uint8]]:
    from training.fitting.quantization import sample_images

    with working("decoding images to quantize on"):
        return sample_images(spark, dataset, 0)
