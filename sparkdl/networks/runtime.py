"""ONNX Runtime sessions in a Spark worker: one per network and process.

A Spark Python worker outlives its tasks (it ends after a minute without one), and so does this module's cache: the
network is loaded once per worker, not once per task or micro-batch. Each worker runs its network on as many threads as
its task has CPUs (`spark.task.cpus`, which Spark passes to Python workers as OMP_NUM_THREADS), so that tasks x threads
= cores.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from sparkdl.errors import SparkdlError
from sparkdl.images.pixels import composite_on_white, to_gray
from sparkdl.networks.framing import STRETCH, Framing, frame
from sparkdl.spark.private import forget_value
from sparkdl.spark.worker_gc import freeze_gc

if TYPE_CHECKING:
    import onnxruntime

CHUNK = 8
"""Batch size of the network: enough to amortise the call, few enough for the activations to stay in the CPU cache."""

_SESSIONS: OrderedDict[str, onnxruntime.InferenceSession] = OrderedDict()
_MAX_SESSIONS = 4  # a pipeline of several networks, or the old and the new model during a promotion


T_co = TypeVar("T_co", covariant=True)


class Shared(Protocol[T_co]):
    """A value that workers have: a Spark broadcast, or a value in a process without Spark."""

    @property
    def value(self) -> T_co:
        """The value."""


@dataclass(frozen=True)
class OnnxFile:
    """An ONNX file as workers have it, identified by its digest."""

    digest: str
    content: Shared[bytes]


@dataclass(frozen=True)
class Network(OnnxFile):
    """A network of images: `image`, uint8 [N, height, width, channels], to `features`, float32 [N, D].

    Attributes
    ----------
    input_shape
        Height, width and channels (1, gray, or 3) of its input images.
    framing
        How an image is resized and cropped to that size.
    batch_size
        Images per call.
    """

    input_shape: tuple[int, int, int]
    framing: Framing = STRETCH
    batch_size: int = CHUNK


def session(network: OnnxFile) -> onnxruntime.InferenceSession:
    """Return this process's session for `network`, created at the first call."""
    if network.digest not in _SESSIONS:
        while len(_SESSIONS) >= _MAX_SESSIONS:
            _SESSIONS.popitem(last=False)
        _SESSIONS[network.digest] = _open(network.content.value)
        forget_value(network.content)
        freeze_gc()
    _SESSIONS.move_to_end(network.digest)
    return _SESSIONS[network.digest]


def _open(content: bytes) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    # Tasks share the cores: a thread that spins while it waits takes a core from other tasks.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # A memory plan for all activations takes 50% more memory than is needed at any time, and saves no time.
    options.enable_mem_pattern = False
    # ONNX only, not ONNX Runtime's own format, so that exactly the content validated by `check_network` is loaded.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise SparkdlError(f"the network cannot be loaded: {error}") from error


def extract_features(
    images: Sequence[NDArray[np.uint8]], network: Network, resample: Image.Resampling
) -> NDArray[np.float32]:
    """Return the features, float32 [N, D], of N images, each uint8 [H, W, C] with C = 1 (gray), 3 (BGR) or 4 (BGRA)."""
    if not images:
        return np.empty((0, 0), np.float32)
    opened = session(network)
    size = batch_size(opened, network.batch_size)
    chunks = []
    for start in range(0, len(images), size):
        part = images[start : start + size]
        batch = np.stack([resize_to_input(image, network.input_shape, resample, network.framing) for image in part])
        chunks.append(opened.run(["features"], {"image": batch})[0])
    return np.concatenate(chunks)


def batch_size(opened: onnxruntime.InferenceSession, wanted: int) -> int:
    """Return how many rows to give a network at once: `wanted`, or 1 where the network takes no more."""
    return 1 if any(value.shape[:1] == [1] for value in opened.get_inputs()) else wanted


def resize_to_input(
    image: NDArray[np.uint8], shape: tuple[int, int, int], resample: Image.Resampling, framing: Framing = STRETCH
) -> NDArray[np.uint8]:
    """Resize an image to the input of a network: uint8 [height, width, 1 or 3] from [H, W, C], C = 1, 3 or 4.

    The aspect ratio is not kept, unless `framing` keeps it. Alpha is composited on white, as in decoding. A gray
    image becomes three equal channels; a colour image becomes gray as by `sparkdl.images.pixels.to_gray`.
    """
    height, width, wanted = shape
    image = composite_on_white(image)
    if wanted == 1 and image.shape[2] != 1:
        image = to_gray(image)[:, :, np.newaxis]
    image = frame(image, (height, width), resample, framing)
    return np.repeat(image, 3, axis=2) if image.shape[2] < wanted else image


def to_vectors(features: NDArray[Any]) -> pa.StructArray:
    """Convert [N, D] to N dense ML Vectors, in the layout in which Spark stores them.

    Spark uses this column directly. The JVM would convert a column of arrays to vectors row by row, at more than twice
    the cost.
    """
    rows, width = features.shape
    values = pa.array(features.astype(np.float64, copy=False).ravel())
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * np.int32(width))
    return pa.StructArray.from_arrays(
        [
            pa.array(np.ones(rows, np.int8)),  # 1: dense
            pa.nulls(rows, pa.int32()),
            pa.nulls(rows, pa.list_(pa.int32())),
            pa.ListArray.from_arrays(offsets, values),
        ],
        names=["type", "size", "indices", "values"],
    )
