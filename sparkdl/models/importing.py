"""Import of a classifier from outside: checked, adapted, tried, and saved as a version of a registry."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Resampling

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.networks.framing import STRETCH
from sparkdl.networks.imported.adapter import adapt, as_two_classes
from sparkdl.networks.imported.backbones import check_name, save
from sparkdl.networks.imported.settings import ImportedSettings
from sparkdl.networks.imported.sources import Foreign
from sparkdl.networks.imported.trial import try_network
from sparkdl.networks.runtime import CHUNK

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from sparkdl.models.registry import ModelVersion, Registry

RECIPE = "imported"
"""What `model.json` has as the recipe of a model that was not trained here."""
DEFAULT_THRESHOLD = 0.5
_SLACK = 1e-3  # of probabilities in half precision
_LIBRARIES = ("sparkdl-streaming", "pyspark", "numpy", "pillow", "onnx", "onnxruntime")


@dataclass(frozen=True)
class ImportedModel:
    """A classifier that can be saved.

    Attributes
    ----------
    foreign
        Where it came from.
    network
        Its ONNX file, adapted.
    settings
        How it is fed.
    labels
        The names of its classes.
    """

    foreign: Foreign
    network: bytes
    settings: ImportedSettings
    labels: tuple[str, ...]

    def description(self) -> dict[str, Any]:
        """Return the content of `model.json`, without digests."""
        height, width, channels = self.settings.input_shape
        stated = self.foreign.described.normalization
        return {
            "recipe": {"name": RECIPE},
            RECIPE: {
                "source": self.foreign.origin,
                "kind": self.foreign.kind,
                "sha256": self.foreign.sha256,
                "normalization": None
                if stated is None
                else {"scale": stated.scale, "mean": list(stated.mean), "std": list(stated.std)},
                "channels": "GRAY" if channels == 1 else self.foreign.described.channels or "RGB",
                "resize_to": self.settings.framing.to_json(),
                "resample": self.settings.resample.name,
                "activation": self.settings.activation,
                "label_threshold": self.settings.threshold,
                "batch_size": self.settings.batch_size,
            },
            "input": {"size": height if height == width else [height, width], "normalize_ink": False},
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {"python": platform.python_version(), **{name: _version(name) for name in _LIBRARIES}},
        }


def prepare_import(
    foreign: Foreign, *, output: str | None = None, threshold: float | None = None, batch_size: int | None = None
) -> ImportedModel:
    """Check, adapt and try a classifier; needs no Spark.

    Parameters
    ----------
    output
        The network's output to use, if it has several.
    threshold
        If an image can have several classes: the probability from which on it has one. Default 0.5.
    batch_size
        Images per call of the network. Default 8, or 1 if it takes no more.

    Raises
    ------
    RequestError
        If what must be known of it is not, or contradicts it: the message names the flag.
    SparkdlError
        If the network is refused, or fails.
    """
    described = foreign.described
    adapted = adapt(foreign.content, foreign.origin, described, output)
    tried = try_network(adapted.content, foreign.origin)
    if len(tried.shape) != 1 or described.has_head is False:
        raise RequestError(
            f"{foreign.origin}: its output {['N', *tried.shape]} is features, not a value a class: give "
            "--backbone NAME to use it in recipes"
        )
    if adapted.activation == "none" and not -_SLACK <= tried.least <= tried.most <= 1 + _SLACK:
        raise RequestError(
            f"{foreign.origin}: its output, {tried.least:.3g} to {tried.most:.3g}, is not probabilities: give "
            "--activation softmax or sigmoid"
        )
    labels = described.labels
    if labels is None:
        raise RequestError(
            f"{foreign.origin}: its files do not name the {tried.shape[0]} values of its output: give "
            "--labels FILE, or --backbone NAME if they are features"
        )
    content, activation, multi_label, count = adapted.content, adapted.activation, adapted.multi_label, tried.shape[0]
    if count == 1 and len(labels) == 2:
        content = as_two_classes(content, logits=activation != "none")
        activation, multi_label, count = "none", False, 2
    if len(labels) != count:
        raise RequestError(f"{foreign.origin}: its output has {count} values, and there are {len(labels)} labels")
    if not multi_label and count == 1:
        raise RequestError(f"{foreign.origin}: expected 2 or more classes, received 1 (--multi-label takes one)")
    if threshold is not None and not multi_label:
        raise RequestError(f"{foreign.origin}: --label-threshold is for images of several classes: give --multi-label")
    if batch_size is not None and batch_size > 1 and not tried.takes_batches:
        raise RequestError(f"{foreign.origin}: it takes one image at a time: give --batch-size 1")
    settings = ImportedSettings(
        adapted.input_shape,
        count,
        described.framing or STRETCH,
        Resampling.BILINEAR if described.resample is None else described.resample,
        activation,
        (DEFAULT_THRESHOLD if threshold is None else threshold) if multi_label else None,
        batch_size or (CHUNK if tried.takes_batches else 1),
    )
    return ImportedModel(foreign, content, settings, labels)


def save_import(
    spark: SparkSession,
    model: ImportedModel,
    registry: Registry,
    *,
    name: str | None = None,
    calibration: Sequence[NDArray[np.uint8]] | None = None,
    promote: bool = True,
) -> ModelVersion:
    """Save a classifier as a new version, and promote it.

    Parameters
    ----------
    name
        The end of the version's name. Default: that of the file or folder.
    calibration
        Images, uint8 [H, W, 1, 3 or 4], to quantize the network on: its convolutions become 8-bit integers. None keeps
        its numbers.
    """
    from pyspark.ml import PipelineModel
    from pyspark.ml.feature import IndexToString

    from sparkdl.inference.classifier import Classifier
    from sparkdl.transformers.imported_classifier import ImportedClassifier

    stage = ImportedClassifier(**model.settings.to_params())
    stage.set_network(model.network)
    description = model.description()
    if calibration is not None:
        try:
            stage.quantize(calibration)
        except Exception as error:
            raise SparkdlError(f"{model.foreign.origin} cannot be quantized: {error}") from error
        description[RECIPE]["precision"] = "int8"
    named = IndexToString(inputCol="prediction", outputCol="predictedLabel", labels=list(model.labels))
    classifier = Classifier.of(PipelineModel([stage, named]), model.labels)
    version = registry.save(
        classifier, name or model.foreign.stem, description, lambda directory: _write_report(directory, model)
    )
    if promote:
        registry.promote(version.name)
    return version


def save_backbone(foreign: Foreign, name: str, *, output: str | None = None) -> Path:
    """Save a network as the backbone `name` of recipes; return its file.

    Raises
    ------
    RequestError
        If it cannot be called so, what must be known of it is not, or its images are not square.
    SparkdlError
        If the network is refused, or fails.
    """
    check_name(name)
    classifier = adapt(foreign.content, foreign.origin, foreign.described, output)
    tried = try_network(classifier.content, foreign.origin)
    if not tried.takes_batches:
        raise RequestError(f"{foreign.origin}: it takes one image at a time: export it with a free batch size")
    body = adapt(foreign.content, foreign.origin, foreign.described, output, as_body=True)
    height, width, channels = body.input_shape
    if height != width:
        raise RequestError(f"{foreign.origin}: expected a square input for recipes, received {height} x {width}")
    origin = {"source": foreign.origin, "kind": foreign.kind, "source_sha256": foreign.sha256}
    return save(name, body.content, (height, width), channels, origin)


def _write_report(directory: Path, model: ImportedModel) -> None:
    height, width, channels = model.settings.input_shape
    lines = [
        "# Imported model",
        "",
        f"This model was not trained here. It is the network of a {model.foreign.kind}, with SHA-256",
        f"`{model.foreign.sha256}`.",
        f"It takes images of {height} x {width} pixels and {channels} channel(s), and has {len(model.labels)} classes.",
        "Measure it on your own images: `sparkdl evaluate --model MODEL --data DATA --out DIRECTORY`.",
        "",
    ]
    (directory / "report.md").write_text("\n".join(lines), encoding="utf-8")


def _version(library: str) -> str | None:
    try:
        return installed_version(library)
    except ModuleNotFoundError:
        return None
