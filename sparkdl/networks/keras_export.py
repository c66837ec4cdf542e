"""Export of Keras networks to ONNX: the only module that imports TensorFlow, and only inside functions."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import signal
import socket
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx

from sparkdl.errors import RequestError, SparkdlError, unknown
from sparkdl.networks import hdf5
from sparkdl.system.extras import require_extra
from sparkdl.system.subprocesses import python_command, python_environment

_log = logging.getLogger(__name__)

OPSET = 17

CHILD_ENVIRONMENT = {
    "KERAS_BACKEND": "tensorflow",
    "CUDA_VISIBLE_DEVICES": "-1",  # TensorFlow would otherwise reserve the whole GPU for a conversion that needs none
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "PYTHONHASHSEED": "0",  # the same weights give the same bytes
    **hdf5.ENVIRONMENT,
}

_DOWNLOAD_TIMEOUT_SECONDS = 60

_ERRORS: dict[str, type[SparkdlError]] = {"RequestError": RequestError, "SparkdlError": SparkdlError}


def export_keras(
    application: str, weights: Path | None, input_size: tuple[int, int], taps: Sequence[str]
) -> onnx.ModelProto:
    """Export a network of `keras.applications`, cut at its tap layers, to ONNX.

    TensorFlow runs in a separate process, so the caller keeps its memory, its GPU and its choice of Keras backend.
    That process takes 10 to 20 s on two cores, 5 s of them for the start of TensorFlow, and 3 to 5 GB of memory at its
    peak. The same weights and library versions give the same bytes.

    Parameters
    ----------
    application : str
        A class name in `keras.applications`, for example ``"InceptionV3"``; built without its classifier.
    weights : Path or None
        A ``.weights.h5``, ``.keras`` or ``.h5`` file. None lets Keras download its ImageNet weights, check their
        digest and keep them in its own cache.
    input_size : tuple of int
        Height and width of the input in pixels.
    taps : sequence of str
        Names of the layers to output.

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
    with tempfile.TemporaryDirectory(prefix="sparkdl-export-") as name:
        model_file, error_file = Path(name) / "model.onnx", Path(name) / "error.json"
        request = {
            "application": application,
            "weights": None if weights is None else str(weights.absolute()),
            "input_size": list(input_size),
            "taps": list(taps),
            "model_file": str(model_file),
            "error_file": str(error_file),
        }
        child = subprocess.run(
            python_command("-m", "sparkdl.networks.keras_export"),
            input=json.dumps(request),
            capture_output=True,
            text=True,
            check=False,
            env=python_environment(**CHILD_ENVIRONMENT),
        )
        if error_file.exists():
            error = json.loads(error_file.read_text("utf-8"))
            raise _ERRORS[error["kind"]](error["message"])
        if child.returncode != 0:
            raise SparkdlError(f"the export of {application} {last_words(child)}")
        return onnx.load(model_file)


def convert(
    application: str, weights: Path | None, input_size: tuple[int, int], taps: Sequence[str]
) -> onnx.ModelProto:
    """Export as `export_keras` does, but in this process, which imports TensorFlow.

    Parameters, result and errors are those of `export_keras`. The names of inner nodes depend on the networks that
    Keras built earlier in this process.
    """
    import keras
    import tensorflow as tf
    import tf2onnx

    network = _build(application, weights, input_size, taps)
    tapped = keras.Model(network.input, {tap: network.get_layer(tap).output for tap in taps})
    signature = [tf.TensorSpec((None, *input_size, 3), tf.float32, name="pixels")]
    forward = tf.function(lambda pixels: tapped(pixels, training=False), input_signature=signature)
    with prompt_garbage_collection():
        model, _ = tf2onnx.convert.from_function(forward, signature, opset=OPSET)
    return _tidy(model, application, taps)


@contextlib.contextmanager
def prompt_garbage_collection() -> Iterator[None]:
    # tf2onnx copies the graph with all its weights for each of its passes, and the copies are in reference cycles.
    # With Python's default thresholds they are freed so late that InceptionV3 at 299 px takes 7.5 GB instead of 3 GB,
    # and twice the time.
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(700, 5, 1)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def _build(application: str, weights: Path | None, input_size: tuple[int, int], taps: Sequence[str]) -> Any:
    import keras

    networks = {name: make for name, make in vars(keras.applications).items() if callable(make)}
    if application not in networks:
        raise unknown("Keras application", application, networks)

    def make(pretrained: str | None) -> Any:
        return networks[application](include_top=False, weights=pretrained, input_shape=(*input_size, 3))

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
        _load(network, application, weights)
        return network
    try:
        network.set_weights(make("imagenet").get_weights())
    except Exception as error:  # a failed download is a bare Exception in Keras
        raise SparkdlError(
            f"{application}: Keras could not fetch its ImageNet weights ({in_one_line(error)}): "
            "give weights=PATH or put the file in the directory named by SPARKDL_WEIGHTS_DIR"
        ) from error
    return network


def _load(network: Any, application: str, weights: Path) -> None:
    try:
        with tempfile.TemporaryDirectory(prefix="sparkdl-weights-") as name:
            network.load_weights(hdf5.weights_only(weights, Path(name)))
    except (ValueError, KeyError, TypeError, OSError, RuntimeError, zipfile.BadZipFile) as error:
        raise RequestError(
            f"{application}: expected weights of this network without its top, "
            f"received {str(weights)!r}: {in_one_line(error)}"
        ) from error


def _tidy(model: onnx.ModelProto, application: str, taps: Sequence[str]) -> onnx.ModelProto:
    """Put the outputs in the requested order, and remove metadata about how and where the graph was made."""
    graph = model.graph
    outputs = {output.name: output for output in graph.output}
    ordered = [outputs[tap] for tap in taps]
    del graph.output[:]
    graph.output.extend(ordered)
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    graph.name = application
    for described in (model, graph, *graph.node):
        described.ClearField("doc_string")
    onnx.checker.check_model(model)
    return model


def in_one_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]


def last_words(child: subprocess.CompletedProcess[str]) -> str:
    if child.returncode < 0:
        name = signal.Signals(-child.returncode).name
        return f"was killed by {name}" + (": an export takes up to 5 GB of memory" if name == "SIGKILL" else "")
    lines = [line.strip() for line in child.stderr.splitlines() if line.strip()]
    return f"failed with exit code {child.returncode}: {lines[-1] if lines else 'it printed no message'}"


def _main() -> None:
    """Run the child process: read one request from stdin, write the answer to the file that the request names."""
    import keras

    # This process serves only the export, so it may override the user's ~/.keras/keras.json and time out downloads.
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    socket.setdefaulttimeout(_DOWNLOAD_TIMEOUT_SECONDS)

    request = json.load(sys.stdin)
    weights = request["weights"]
    height, width = request["input_size"]
    try:
        model = convert(request["application"], weights and Path(weights), (height, width), request["taps"])
    except SparkdlError as error:
        answer = {"kind": type(error).__name__, "message": str(error)}
        Path(request["error_file"]).write_text(json.dumps(answer), "utf-8")
    else:
        Path(request["model_file"]).write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    _main()
