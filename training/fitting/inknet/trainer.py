"""Trains InkNet on squares of ink, with Keras, in a process of its own that can be cut off and goes on."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.networks.inknet import SIDE
from sparkdl.system.cache import cache_directory, make_directory

WEIGHTS = "weights.npz"
STATE = "state.keras"
"""The network and its optimizer after the last epoch, beside a note of which that was."""

Progress = Callable[[str, int, int], None]
"""Is told what is being done, how much of it is done, and how much there is."""


def train_inknet(
    squares: NDArray[np.uint8],
    labels: NDArray[np.int64],
    held_out: NDArray[np.int64],
    epochs: int,
    seed: int,
    progress: Progress,
) -> Path:
    """Trains the network and gives the file of its weights; the same arguments give the same file.

    When more training makes it worse on the images held out it ends early, and of all epochs the weights of the best
    are kept. What is needed to go on is saved after each epoch in the user's cache; the
    next call with the same arguments goes on from there. A GPU is used if TensorFlow finds one.

    Parameters
    ----------
    squares
        uint8 [images, 1 + copies, 32, 32]: bright ink on black; of each image as it is, and its altered copies. Each
        epoch takes one of them, by chance.
    labels
        int64 [images]: the class index of each, 0 to K - 1.
    held_out
        int64: the indices of the images that it does not learn from, but is tried on after each epoch. Without any, it
        is tried on those it learns from.
    epochs
        How often each image is looked at, at the most.

    Raises
    ------
    SparkdlError
        If TensorFlow is not installed, or the training fails.
    """
    if squares.dtype != np.uint8 or squares.shape[2:] != (SIDE, SIDE):
        raise RequestError(f"InkNet takes uint8 squares of {SIDE} pixels, received {squares.dtype} {squares.shape[2:]}")
    for package in ("tensorflow", "keras"):
        if importlib.util.find_spec(package) is None:
            raise SparkdlError(
                f"InkNet is trained with {package}, which is not installed: pip install 'sparkdl-streaming[keras]'"
            )
    request = {"epochs": epochs, "seed": seed}
    digest = hashlib.sha256(json.dumps(request).encode())
    for array in (squares, labels, held_out):
        digest.update(np.ascontiguousarray(array).data)
    place = cache_directory("training") / digest.hexdigest()[:32]
    make_directory(place)
    weights = place / WEIGHTS
    if not weights.is_file():
        np.save(place / "squares.npy", squares)
        np.save(place / "labels.npy", labels)
        np.save(place / "held_out.npy", held_out)
        _run(place, request, progress)
    return weights


def forget(weights: Path) -> None:
    """Removes what `train_inknet` keeps of a training whose result is saved elsewhere."""
    shutil.rmtree(weights.parent)


def _run(place: Path, request: dict[str, int], progress: Progress) -> None:
    search_path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": search_path}
    with (place / "log").open("w") as log:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "training.fitting.inknet.keras_process", str(place), json.dumps(request)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
        )
        try:
            assert child.stdout is not None  # it was asked for
            for line in child.stdout:
                done, of, accuracy = line.split()
                progress(f"training InkNet, validation {float(accuracy):.4f}", int(done), int(of))
        finally:
            if child.poll() is None and sys.exc_info()[0] is not None:
                child.kill()
            code = child.wait()
    if code != 0:
        lines = [line.strip() for line in (place / "log").read_text(errors="replace").splitlines() if line.strip()]
        raise SparkdlError(f"the training of InkNet failed ({code}): {lines[-1] if lines else 'it said nothing'}")
