"""Keras models as files, with what Keras makes of some inputs; written by a separate process.

`python keras_models.py DIRECTORY` writes `image.keras` and `image.h5`, from 8 x 6 px RGB to two classes; `table.keras`,
from five numbers to three; `float.keras`, from images of any size to images; and `expected.npz`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

SHAPE = (8, 6, 3)


def write_models(directory: Path) -> None:
    """Write the files into `directory`, in another process."""
    environment = {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    from sparkdl.system.subprocesses import python_environment

    command = [sys.executable, __file__, str(directory)]
    subprocess.run(command, env=python_environment(**environment), check=True, capture_output=True)


def _main(directory: Path) -> None:
    import keras
    from keras import layers

    keras.utils.set_random_seed(3)
    image = keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Rescaling(1 / 127.5, offset=-1),
            layers.Conv2D(8, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(2, activation="softmax"),
        ]
    )
    image.save(directory / "image.keras")
    image.save(directory / "image.h5")
    table = keras.Sequential([keras.Input((5,)), layers.Dense(4, activation="gelu"), layers.Dense(3)])
    table.save(directory / "table.keras")
    image_out = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(3, 1, use_bias=False)])
    image_out.save(directory / "float.keras")

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, *SHAPE)).astype(np.uint8)
    rows = rng.normal(size=(7, 5)).astype(np.float32)
    np.savez(
        directory / "expected.npz",
        images=images,
        classes=np.asarray(image(images.astype(np.float32), training=False)),
        scaled=np.asarray(image(images.astype(np.float32) / 2, training=False)),
        pixels=np.asarray(image_out(images.astype(np.float32) / 255, training=False)),
        rows=rows,
        scores=np.asarray(table(rows, training=False)),
    )


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
