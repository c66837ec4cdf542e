"""The worker's side of a network: ONNX Runtime sessions, one a network and worker process.

A Spark Python worker lives on between tasks (until it has been idle for a minute), and so does this module's cache:
the network is loaded once a worker, not once a task or micro-batch. Each worker runs its network on as many threads
as its task has CPUs (`spark.task.cpus`, which Spark hands to Python workers as OMP_NUM_THREADS), so that slots x
threads = cores.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from sparkdl.errors import SparkdlError
from sparkdl.images.pixels import to_gray
from sparkdl.spark.worker_gc import spare_collector

if TYPE_CHECKING:
    import onnxruntime
    from pyspark import Broadcast

CHUNK = 8
"""Images a call of the network: enough to amortise the call, few enough for the activations to stay in cache."""

_SESSIONS: OrderedDict[str, onnxruntime.InferenceSession] = OrderedDict()
_MOST_SESSIONS = 4  # a pipeline of several networks, or the old and the new while a model is exchanged


@dataclass(frozen=True)
class Network:
    """A network on its way to the workers: the ONNX file as a Spark broadcast, known by its digest.

    Attributes
    ----------
    input_shape
        Height, width and channels (1, gray, or 3) of the images that it takes.
    """

    digest: str
    content: Broadcast[bytes]
    input_shape: tuple[int, int, int]


def session(network: Network) -> onnxruntime.InferenceSession:
    """This process's session for `network`, made at the first call."""
    if network.digest not in _SESSIONS:
        while len(_SESSIONS) >= _MOST_SESSIONS:
            _SESSIONS.popitem(last=False)
        _SESSIONS[network.digest] = _open(network.content.value)
        spare_collector()
    _SESSIONS.move_to_end(network.digest)
    return _SESSIONS[network.digest]


def _open(content: bytes) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    # Slots share the cores: a thread that spins while it waits takes them from its neighbours.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Not the other format that ONNX Runtime would recognise: what `network_check` has looked at is what is loaded.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise SparkdlError(f"the network cannot be loaded: {error}") from error


def extract_features(
    images: Sequence[NDArray[np.uint8]], network: Network, resample: Image.Resampling
) -> NDArray[np.float32]:
    """float32 [N, D]: the features of N images, uint8 [H, W, C] each, C = 1 (gray), 3 (BGR) or 4 (BGRA)."""
    if not images:
        return np.empty((0, 0), np.float32)
    run = session(network).run
    chunks = []
    for start in range(0, len(images), CHUNK):
        batch = np.stack([fit(image, network.input_shape, resample) for image in images[start : start + CHUNK]])
        chunks.append(run(["features"], {"image": batch})[0])
    return np.concatenate(chunks)


def fit(image: NDArray[np.uint8], shape: tuple[int, int, int], resample: Image.Resampling) -> NDArray[np.uint8]:
    """uint8 [height, width, 1 or 3]: `image` ([H, W, C], C = 1, 3 or 4) stretched and brought to `shape`.

    A gray image becomes one of three equal channels; of a colour image gray is what `sparkdl.images.pixels.to_gray`
    makes.
    """
    *size, wanted = shape
    if wanted == 1 and image.shape[2] != 1:
        image = to_gray(image)[:, :, np.newaxis]
    channels = image.shape[2]
    if list(image.shape[:2]) != size:
        # Pillow is blind to the order of the channels.
        picture = Image.fromarray(image[:, :, 0] if channels == 1 else np.ascontiguousarray(image[:, :, :3]))
        image = np.asarray(picture.resize((size[1], size[0]), resample)).reshape(*size, -1)
    return np.repeat(image, 3, axis=2) if channels < wanted else image[:, :, :wanted]


def to_vectors(features: NDArray[Any]) -> pa.StructArray:
    """[N, D] as N dense ML Vectors, in the layout that Spark stores them in.

    Spark takes this column as it is; a column of arrays would be turned into vectors row by row on the JVM's side,
    at more than twice the cost.
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
