"""Processes that run TensorFlow for one request: how they are asked, how they answer, and what they share."""

from __future__ import annotations

import contextlib
import gc
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.networks import hdf5
from sparkdl.system.subprocesses import python_command, python_environment

OPSET = 17
"""The version of ONNX's operators that TensorFlow's graphs are converted to."""

NO_GPU = {"CUDA_VISIBLE_DEVICES": "-1"}
"""TensorFlow would otherwise reserve the whole GPU for a conversion that needs none."""

_ENVIRONMENT = {
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "PYTHONHASHSEED": "0",  # the same weights give the same bytes
    **hdf5.ENVIRONMENT,
}
_ERRORS: dict[str, type[SparkdlError]] = {"RequestError": RequestError, "SparkdlError": SparkdlError}


def ask_child(
    module: str, task: str, request: Mapping[str, Any], environment: Mapping[str, str] | None = None
) -> bytes:
    """Run a module as a process for one request and return its answer.

    Parameters
    ----------
    module
        Its main part calls `answer_parent`.
    task
        What it does, the subject of a sentence: "the export of VGG16".
    request
        JSON.
    environment
        Variables of the process. Default: `NO_GPU`.

    Raises
    ------
    RequestError, SparkdlError
        That the process raised; a SparkdlError if it died.
    """
    with tempfile.TemporaryDirectory(prefix="sparkdl-keras-") as name:
        answer_file, error_file = Path(name) / "answer", Path(name) / "error.json"
        child = subprocess.run(
            python_command("-m", module),
            input=json.dumps({"request": request, "answer_file": str(answer_file), "error_file": str(error_file)}),
            capture_output=True,
            text=True,
            check=False,
            env=python_environment(**_ENVIRONMENT, **(NO_GPU if environment is None else environment)),
        )
        if error_file.exists():
            error = json.loads(error_file.read_text("utf-8"))
            raise _ERRORS[error["kind"]](error["message"])
        if child.returncode != 0:
            raise SparkdlError(f"{task} {_last_words(child)}")
        return answer_file.read_bytes()


def answer_parent(answer: Callable[[dict[str, Any]], bytes]) -> None:
    """Answer the request on stdin; the child's side of `ask_child`."""
    import keras

    # This process serves only one request, so it may override the user's ~/.keras/keras.json.
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")

    asked = json.load(sys.stdin)
    try:
        content = answer(asked["request"])
    except SparkdlError as error:
        kind = "RequestError" if isinstance(error, RequestError) else "SparkdlError"
        Path(asked["error_file"]).write_text(json.dumps({"kind": kind, "message": str(error)}), "utf-8")
    else:
        Path(asked["answer_file"]).write_bytes(content)


@contextlib.contextmanager
def prompt_garbage_collection() -> Iterator[None]:
    """Collect garbage early while a graph is converted."""
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


def tidy(model: onnx.ModelProto, name: str, outputs: Sequence[str]) -> onnx.ModelProto:
    """Put the outputs in the requested order, and remove metadata about how and where the graph was made."""
    graph = model.graph
    _replace_erfc(graph)
    given = {output.name: output for output in graph.output}
    ordered = [given[output] for output in outputs]
    del graph.output[:]
    graph.output.extend(ordered)
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    graph.name = name
    for described in (model, graph, *graph.node):
        described.ClearField("doc_string")
    onnx.checker.check_model(model)
    return model


def _replace_erfc(graph: onnx.GraphProto) -> None:
    """Replace the complementary error function, of an exact GELU, which tf2onnx leaves as it is and ONNX has not."""
    from onnx import helper, numpy_helper

    nodes = []
    for number, node in enumerate(graph.node):
        if node.op_type != "Erfc":
            nodes.append(node)
            continue
        erf, one = f"sparkdl.erf.{number}", f"sparkdl.one.{number}"
        graph.initializer.append(numpy_helper.from_array(np.array(1, np.float32), one))
        nodes.append(helper.make_node("Erf", node.input, [erf]))
        nodes.append(helper.make_node("Sub", [one, erf], node.output))
    del graph.node[:]
    graph.node.extend(nodes)


def in_one_line(error: BaseException) -> str:
    """Return the message of an error of Keras without its details."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]


def _last_words(child: subprocess.CompletedProcess[str]) -> str:
    if child.returncode < 0:
        name = signal.Signals(-child.returncode).name
        return f"was killed by {name}" + (": an export takes up to 5 GB of memory" if name == "SIGKILL" else "")
    lines = [line.strip() for line in child.stderr.splitlines() if line.strip()]
    return f"failed with exit code {child.returncode}: {lines[-1] if lines else 'it printed no message'}"
