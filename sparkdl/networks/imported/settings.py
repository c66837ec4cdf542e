"""Settings of an imported classifier, as the Params of its stage hold them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL.Image import Resampling

from sparkdl.errors import RequestError, unknown
from sparkdl.networks.framing import STRETCH, Framing
from sparkdl.networks.imported.description import ACTIVATIONS, RESAMPLINGS, Activation
from sparkdl.networks.runtime import CHUNK

MAX_BATCH_SIZE = 1024


@dataclass(frozen=True)
class ImportedSettings:
    """How an imported network is fed, and what its output means.

    Attributes
    ----------
    input_shape
        Height, width and channels (1, gray, or 3) of the images that the network takes.
    class_count
        The values of its output.
    framing, resample
        How an image becomes one of that size.
    activation
        What makes probabilities of the output.
    threshold
        The probability from which on an image has a class, if it can have several; else None.
    batch_size
        Images per call.
    """

    input_shape: tuple[int, int, int]
    class_count: int
    framing: Framing = STRETCH
    resample: Resampling = Resampling.BILINEAR
    activation: Activation = "softmax"
    threshold: float | None = None
    batch_size: int = CHUNK

    def to_params(self) -> dict[str, Any]:
        """Return the Params: those of `sparkdl.ImportedClassifier`, which says what they hold."""
        size = self.framing.to_json()
        params: dict[str, Any] = {
            "inputShape": list(self.input_shape),
            "classCount": self.class_count,
            "resizeTo": [] if size is None else [size] if isinstance(size, int) else size,
            "resample": self.resample.name,
            "activation": self.activation,
            "batchSize": self.batch_size,
        }
        return params if self.threshold is None else {**params, "labelThreshold": self.threshold}

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> ImportedSettings:
        """Return what Params hold; a RequestError if one has a value that `check_*` of this module refuses."""
        height, width, channels = check_shape(params["inputShape"])
        sizes = check_sizes(params["resizeTo"])
        threshold = params.get("labelThreshold")
        return cls(
            (height, width, channels),
            check_count(params["classCount"]),
            Framing(None if not sizes else sizes[0] if len(sizes) == 1 else (sizes[0], sizes[1])),
            RESAMPLINGS[check_resample(params["resample"])],
            check_activation(params["activation"]),
            None if threshold is None else check_threshold(threshold),
            check_batch_size(params["batchSize"]),
        )


def _check_integers(name: str, values: Any, counts: tuple[int, ...]) -> list[int]:
    whole = isinstance(values, list | tuple) and all(isinstance(value, int) and value > 0 for value in values)
    if not whole or len(values) not in counts:
        raise RequestError(f"expected {name} as {' or '.join(map(str, counts))} numbers of pixels, received {values!r}")
    return list(values)


def check_shape(value: Any) -> list[int]:
    """Return `value`, [height, width, 1 or 3]; a RequestError if it is something else."""
    shape = _check_integers("inputShape", value, (3,))
    if shape[2] not in (1, 3):
        raise RequestError(f"expected inputShape with 1 or 3 channels, received {shape}")
    return shape


def check_sizes(value: Any) -> list[int]:
    """Return `value`, [], [shorter side] or [height, width]; a RequestError if it is something else."""
    return _check_integers("resizeTo", value, (0, 1, 2))


def check_count(value: Any) -> int:
    """Return `value`, the number of classes; a RequestError if it is below 1."""
    if not isinstance(value, int) or value < 1:
        raise RequestError(f"expected classCount of 1 or more, received {value!r}")
    return value


def check_resample(value: Any) -> str:
    """Return `value`, a filter's name; a RequestError if it is unknown."""
    if value not in RESAMPLINGS:
        raise unknown("resample", str(value), RESAMPLINGS)
    return str(value)


def check_activation(value: Any) -> Activation:
    """Return `value`, an activation; a RequestError if it is unknown."""
    for known in ACTIVATIONS:
        if value == known:
            return known
    raise unknown("activation", str(value), ACTIVATIONS)


def check_threshold(value: Any) -> float:
    """Return `value`, a probability; a RequestError if it is not above 0 and at most 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise RequestError(f"expected a label threshold above 0, at most 1, received {value!r}")
    return float(value)


def check_batch_size(value: Any) -> int:
    """Return `value`, images per call; a RequestError if it is not 1 to 1024."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_BATCH_SIZE:
        raise RequestError(f"expected a batch size of 1 to {MAX_BATCH_SIZE}, received {value!r}")
    return value
