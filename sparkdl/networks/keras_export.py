"""Export of the networks of `keras.applications` to ONNX; imports TensorFlow inside functions only."""

from __future__ import annotations

import logging
import socket
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx

from sparkdl.errors import RequestError, SparkdlError, unknown
from sparkdl.networks import hdf5
from sparkdl.networks.keras_files.child import (
    OPSET,
    answer_parent,
    ask_child,
    in_one_line,
    prompt_garbage_collection,
    tidy,
)
from sparkdl.system.extras import require_extra

_log = logging.getLogger(__name__)


_DOWNLOAD_TIMEOUT_SECONDS = 60


def export_keras(
    application: str,
    weights: Path | None,
    input_size: tuple[int, int],
    taps: Sequence[str],
    *,
    classifier: bool = False,
) -> onnx.ModelProto:
    """Export a network of `keras.applications`, cut at its tap layers, to ONNX.

    TensorFlow runs in a separate process, so the caller keeps its memory, its GPU and its choice of Keras backend.
    That process takes 10 to 20 s on two cores, 5 s of them for the start of TensorFlow, and 3 to 5 GB of memory at its
    peak. The same weights and library versions give the same bytes.

    Parameters
    ----------
    application : str
        A class name in `keras.applications`, for example ``"InceptionV3"``.
    weights : Path or None
        A ``.weights.h5``, ``.keras`` or ``.h5`` file. None lets Keras download its ImageNet weights, check their
        digest and keep them in its own cache.
    input_size : tuple of int
        Height and width of the input in pixels.
    taps : sequence of str
        Names of the layers to output.
    classifier : bool
        Whether the network is built with its classifier, whose output is the layer ``predictions``: float32 [N, 1000].

    Returns
    -------
    onnx.ModelProto
        Input ``pixels``: float32 [N, H, W, 3], preprocessed as the network expects. One output per tap, in the
        order of `taps` and named like it: float32 [N, h, w, c] with h, w and c fixed. N is free.

    Raises
    ------
    RequestError
        If the application or a tap is unknown, the input is too small, or the weights file is missing or belongs to
        another network.
    SparkdlError
        If TensorFlow is not installed, the download failed, or the export process died.
    """
    require_extra("keras", f"the export of {application}")
    if weights is not None and not weights.is_file():
        raise RequestError(f"{application}: expected a Keras weights file, received {str(weights)!r}: no such file")
    _log.info("exporting %s at %d x %d px; weights: %s", application, *input_size, weights or "Keras's own, ImageNet")
    request = {
        "application": application,
        "weights": None if weights is None else str(weights.absolute()),
        "input_size": list(input_size),
        "taps": list(taps),
        "classifier": classifier,
    }
    return onnx.load_from_string(ask_child("sparkdl.networks.keras_export", f"the export of {application}", request))


def convert(
    application: str,
    weights: Path | None,
    input_size: tuple[int, int],
    taps: Sequence[str],
    *,
    classifier: bool = False,
) -> onnx.ModelProto:
    """Export as `export_keras` does, but in this process, which imports TensorFlow.

    Parameters, result and errors are those of `export_keras`. The names of inner nodes depend on the networks that
    Keras built earlier in this process.
    """
    import keras
    import tensorflow as tf
    import tf2onnx

    network = _build(application, weights, input_size, taps, classifier=classifier)
    tapped = keras.Model(network.input, {tap: network.get_layer(tap).output for tap in taps})
    signature = [tf.TensorSpec((None, *input_size, 3), tf.float32, name="pixels")]
    forward = tf.function(lambda pixels: tapped(pixels, training=False), input_signature=signature)
    with prompt_garbage_collection():
        model, _ = tf2onnx.convert.from_function(forward, signature, opset=OPSET)
    return tidy(model, application, taps)


def _build(
    application: str, weights: Path | None, input_size: tuple[int, int], taps: Sequence[str], *, classifier: bool
) -> Any:
    import keras

    networks = {name: make for name, make in vars(keras.applications).items() if callable(make)}
    if application not in networks:
        raise unknown("Keras application", application, networks)

    def make(pretrained: str | None) -> Any:
        return networks[application](include_top=classifier, weights=pretrained, input_shape=(*input_size, 3))

    try:
        network = make(None)
    except ValueError as error:
        raise RequestError(f"{application}: {in_one_line(error)}") from error
    layers = [layer.name for layer in network.layers if not isinstance(layer, keras.layers.InputLayer)]
    if not taps or len(set(taps)) != len(taps):
        raise RequestError(f"{application}: expected one or more different tap layers, received {list(taps)}")
    for tap in taps:
        if tap not in layers:
            raise unknown("tap layer", tap, layers)

    # Only now, so that an invalid request is refused before anything is downloaded.
    if weights is not None:
        _load(network, application, weights, classifier=classifier)
        return network
    try:
        network.set_weights(make("imagenet").get_weights())
    except Exception as error:  # a failed download is a bare Exception in Keras
        raise SparkdlError(
            f"{application}: Keras could not fetch its ImageNet weights ({in_one_line(error)}): "
            "give weights=PATH or put the file in the directory named by SPARKDL_WEIGHTS_DIR"
        ) from error
    return network


def _load(network: Any, application: str, weights: Path, *, classifier: bool) -> None:
    try:
        with tempfile.TemporaryDirectory(prefix="sparkdl-weights-") as name:
            network.load_weights(hdf5.weights_only(weights, Path(name)))
    except (ValueError, KeyError, TypeError, OSError, RuntimeError, zipfile.BadZipFile) as error:
        raise RequestError(
            f"{application}: expected weights of this network {'with' if classifier else 'without'} its top, "
            f"received {str(weights)!r}: {in_one_line(error)}"
        ) from error


def _answer(request: dict[str, Any]) -> bytes:
    """Do what `export_keras` asks the child process for."""
    socket.setdefaulttimeout(_DOWNLOAD_TIMEOUT_SECONDS)
    weights = request["weights"]
    height, width = request["input_size"]
    model = convert(
        request["application"],
        weights and Path(weights),
        (height, width),
        request["taps"],
        classifier=request["classifier"],
    )
    content: bytes = model.SerializeToString(deterministic=True)
    return content


if __name__ == "__main__":
    answer_parent(_answer)
