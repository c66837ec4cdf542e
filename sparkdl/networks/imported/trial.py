"""Trial of an adapted network, in a separate process with bounded memory and time.

The check of the graph cannot tell how much memory and time it takes; this process is what a graph that takes too much
ends.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from sparkdl.errors import SparkdlError
from sparkdl.networks.imported.errors import first_line
from sparkdl.system.subprocesses import python_command, python_environment

MAX_MEMORY = 8 << 30
"""Address space of the trial, bytes; VGG19 takes 2 GB."""
MAX_SECONDS = 120
"""For three images."""
_TOLERANCE = 1e-3  # between an image alone and beside another, in units of the largest value
_SIDE_BY_SIDE = 2


@dataclass(frozen=True)
class Tried:
    """What a network does.

    Attributes
    ----------
    shape
        The shape of the output for one image, without the dimension of the batch.
    takes_batches
        Whether it takes several images at once, with the same results.
    least, most
        The least and the most of the output's values.
    """

    shape: tuple[int, ...]
    takes_batches: bool
    least: float
    most: float


def try_network(content: bytes, name: str) -> Tried:
    """Run an adapted network on three images.

    Raises
    ------
    SparkdlError
        If it cannot be loaded, fails, takes more memory or time than `MAX_MEMORY` and `MAX_SECONDS`, or gives no
        finite numbers.
    """
    with TemporaryDirectory(prefix="sparkdl-trial-") as directory:
        path = Path(directory) / "network.onnx"
        path.write_bytes(content)
        try:
            child = subprocess.run(
                python_command("-m", "sparkdl.networks.imported.trial", str(path)),
                env=python_environment(OMP_NUM_THREADS="2"),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=MAX_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise SparkdlError(f"{name}: it has not answered for three images in {MAX_SECONDS} s") from error
    if child.returncode:
        said = child.stderr.strip().splitlines()
        ending = said[-1][:300] if said and child.returncode > 0 else f"its process ended with {child.returncode}"
        raise SparkdlError(f"{name} cannot be run in {MAX_MEMORY >> 30} GiB of memory: {ending}")
    answer = json.loads(child.stdout)
    if "error" in answer:
        raise SparkdlError(f"{name}: {answer['error']}")
    return Tried(tuple(answer["shape"]), answer["takes_batches"], answer["least"], answer["most"])


def _try(path: Path) -> dict[str, Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 2
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's own classes
        return {"error": f"ONNX Runtime cannot load it: {first_line(error)}"}
    shape = session.get_inputs()[0].shape[1:]
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (_SIDE_BY_SIDE, *shape), np.uint8)
    images[0] //= 8  # two that differ more than two of noise do

    def run(batch: Any) -> Any:
        return session.run(["features"], {"image": batch})[0]

    try:
        alone = np.concatenate([run(image[np.newaxis]) for image in images])
    except Exception as error:  # noqa: BLE001
        return {"error": f"it fails on an image: {first_line(error)}"}
    if len(alone) != _SIDE_BY_SIDE:
        return {"error": f"expected a row an image as its output, received {list(alone.shape)} for {_SIDE_BY_SIDE}"}
    if not np.isfinite(alone).all():
        return {"error": "its output for an image is not finite: check its normalization"}
    try:
        together = run(images)
        spread = _TOLERANCE * max(float(np.abs(alone).max()), 1e-6)
        same = together.shape == alone.shape and bool(np.abs(together - alone).max() <= spread)
    except Exception:  # noqa: BLE001 - of a graph that was made for one image
        same = False
    return {
        "shape": list(alone.shape[1:]),
        "takes_batches": same,
        "least": float(alone.min(initial=0)),
        "most": float(alone.max(initial=0)),
    }


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print(json.dumps(_try(Path(sys.argv[1]))))  # noqa: T201 - the answer
