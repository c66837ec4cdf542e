"""Trains InkNet with Keras in a separate process, resumable after an interruption."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.networks.inknet import SIDE
from sparkdl.system.cache import cache_directory, make_directory
from sparkdl.system.extras import require_extra
from sparkdl.system.subprocesses import python_command, python_environment
from training.fitting.progress import Progress

WEIGHTS = "weights.npz"
STATE = "state.keras"
"""The network and its optimizer after the last epoch."""
EPOCH = "epoch.json"
"""The number of epochs trained, and the state of early stopping."""


def train_inknet(
    squares: NDArray[np.uint8],
    labels: NDArray[np.int64],
    holdout: NDArray[np.int64],
    epochs: int,
    seed: int,
    progress: Progress,
) -> Path:
    """Train the network and return the file of its weights; the same arguments give the same file.

    Training stops early if the validation loss does not improve for some epochs; the weights of the best epoch are
    kept. The state after each epoch is saved in the user's cache, and the next call with the same arguments resumes
    there. Uses a GPU if TensorFlow finds one.

    Parameters
    ----------
    squares
        uint8 [images, 1 + augmentations, 32, 32]: bright ink on black, the original and the augmented versions of each
        image. Each epoch uses one of them, chosen at random.
    labels
        int64 [images]: class indices, 0 to K - 1.
    holdout
        int64: the indices of the images to validate on after each epoch, instead of training on them. If empty, the
        training images are the validation images too.
    epochs
        The maximum number of epochs.
    seed
        0 to 4294967295.

    Raises
    ------
    RequestError
        If `squares` has another type or shape, or the extra `keras` is not installed.
    SparkdlError
        If training fails.
    """
    if squares.dtype != np.uint8 or squares.shape[2:] != (SIDE, SIDE):
        raise RequestError(f"expected uint8 squares of {SIDE} pixels, received {squares.dtype} {squares.shape[2:]}")
    require_extra("keras", "training InkNet")
    request = {"epochs": epochs, "seed": seed}
    digest = hashlib.sha256(json.dumps(request).encode())
    for array in (squares, labels, holdout):
        digest.update(np.ascontiguousarray(array).data)
    directory = cache_directory("training") / digest.hexdigest()[:32]
    make_directory(directory)
    weights = directory / WEIGHTS
    if not weights.is_file():
        np.save(directory / "squares.npy", squares)
        np.save(directory / "labels.npy", labels)
        np.save(directory / "holdout.npy", holdout)
        _run(directory, request, progress)
    return weights


def discard_training(weights: Path) -> None:
    """Remove the files of `train_inknet` after its result was saved elsewhere."""
    shutil.rmtree(weights.parent)


def _run(directory: Path, request: dict[str, int], progress: Progress) -> None:
    with (directory / "log").open("w") as log:
        child = subprocess.Popen(
            python_command("-m", "training.fitting.inknet.keras_process", str(directory), json.dumps(request)),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=python_environment(KERAS_BACKEND="tensorflow", TF_CPP_MIN_LOG_LEVEL="3"),
        )
        try:
            assert child.stdout is not None  # because of PIPE
            for line in child.stdout:
                done, total, accuracy = line.split()
                progress(f"training InkNet, validation accuracy {float(accuracy):.4f}", int(done), int(total))
        finally:
            if child.poll() is None and sys.exc_info()[0] is not None:
                child.kill()
            code = child.wait()
    if code != 0:
        lines = [line.strip() for line in (directory / "log").read_text(errors="replace").splitlines() if line.strip()]
        raise SparkdlError(f"training InkNet failed ({code}): {lines[-1] if lines else 'no message'}")
