"""Process that trains InkNet with Keras.

Only this module and `sparkdl.networks.keras_export` import Keras, and only inside functions.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparkdl.networks.inknet import SIDE, STRIDES, is_block
from sparkdl.system.files import replacing, write_atomically
from training.fitting.inknet.negatives import make_negatives
from training.fitting.inknet.trainer import EPOCH, STATE, WEIGHTS

WIDTHS = (16, 32, 64, 128)
EMBEDDING = 128
BATCH = 128
PEAK_RATE = 2e-3  # learning rate of AdamW after the warm-up
WARM_UP = 300  # batches
DECAY = 0.02
SMOOTHING = 0.05
PATIENCE = 6  # epochs without a better validation loss before training stops
IMAGES_PER_NEGATIVE = 12


def main() -> None:
    """Train on the arrays in a directory, given with the request as JSON; print `epoch epochs accuracy` per epoch."""
    directory, request = Path(sys.argv[1]), json.loads(sys.argv[2])
    squares = np.load(directory / "squares.npy", mmap_mode="r")
    train(directory, squares, np.load(directory / "labels.npy"), np.load(directory / "holdout.npy"), **request)


def train(
    directory: Path,
    squares: NDArray[np.uint8],
    labels: NDArray[np.int64],
    holdout: NDArray[np.int64],
    epochs: int,
    seed: int,
) -> None:
    """Train the network and write `WEIGHTS` into `directory`; see `training.fitting.inknet.trainer.train_inknet`."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    images, versions = squares.shape[:2]
    classes = int(labels.max()) + 1
    trained = np.setdiff1d(np.arange(images), holdout)
    batch = min(BATCH, max(len(trained) // 8, 1))
    steps = math.ceil(len(trained) / batch)

    state, history_file = directory / STATE, directory / EPOCH
    if history_file.is_file():
        model = keras.models.load_model(state)
        history = json.loads(history_file.read_text())
    else:
        model = network(classes)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, max(epochs * steps - WARM_UP, 1), warmup_target=PEAK_RATE, warmup_steps=WARM_UP
        )
        loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=SMOOTHING)
        model.compile(keras.optimizers.AdamW(rate, weight_decay=DECAY), loss)
        history = {"epoch": 0, "best": math.inf, "waited": 0}  # waited: epochs without a better validation loss
    truth = np.eye(classes, dtype=np.float32)[labels]
    while history["epoch"] < epochs and history["waited"] < PATIENCE:
        rng = np.random.default_rng([seed, history["epoch"]])
        shuffled = rng.permutation(trained)
        version = rng.integers(versions, size=len(shuffled))
        for start in range(0, len(shuffled), batch):
            rows = shuffled[start : start + batch]
            positives = squares[rows, version[start : start + batch]]
            negatives = make_negatives(positives, max(len(rows) // IMAGES_PER_NEGATIVE, 1), rng)
            uniform = np.full((len(negatives), classes), 1 / classes, np.float32)
            inputs, targets = np.concatenate([positives, negatives]), np.concatenate([truth[rows], uniform])
            model.train_on_batch(_to_float(inputs), targets)
        loss, accuracy = _validate(model, squares, truth, holdout if len(holdout) else trained)
        history["epoch"] += 1
        history["waited"] += 1
        if loss < history["best"]:
            history["best"], history["waited"] = loss, 0
            _save_weights(model, directory / WEIGHTS.replace(".", "-best."))
        # Save the state before the epoch number: after a kill between the two, an epoch is repeated, never skipped.
        with replacing(state) as partial:
            model.save(partial)
        write_atomically(history_file, json.dumps(history))
        sys.stdout.write(f"{history['epoch']} {epochs} {accuracy}\n")
        sys.stdout.flush()
    (directory / WEIGHTS.replace(".", "-best.")).replace(directory / WEIGHTS)


def network(classes: int) -> Any:
    """Return InkNet as a Keras model, from float32 [N, 32, 32, 1], 0 to 1, to logits [N, classes]."""
    from keras import Input, Model, layers

    def convolve(x: Any, name: str, width: int, stride: int = 1) -> Any:
        x = layers.Conv2D(width, 3, stride, padding="same", use_bias=False, name=name.replace(".", "_"))(x)
        return layers.BatchNormalization(momentum=0.9, name=f"{name.replace('.', '_')}_norm")(x)

    x = pixels = Input((SIDE, SIDE, 1))
    stage = 0
    for name, stride in STRIDES.items():
        stage += stride == 2
        width = WIDTHS[stage]
        if is_block(name):
            y = layers.ReLU()(convolve(x, f"{name}.0", width))
            x = layers.ReLU()(layers.Add()([x, convolve(y, f"{name}.1", width)]))
        else:
            x = layers.ReLU()(convolve(x, name, width, stride))
    x = layers.Flatten()(layers.Dropout(0.2)(x))
    x = layers.Dense(EMBEDDING, use_bias=False, name="embedding")(x)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.9, name="embedding_norm")(x))
    return Model(pixels, layers.Dense(classes)(layers.Dropout(0.4)(x)))


def _to_float(squares: NDArray[np.uint8]) -> NDArray[np.float32]:
    return squares[..., None].astype(np.float32) / np.float32(255)


def _validate(
    model: Any, squares: NDArray[np.uint8], truth: NDArray[np.float32], rows: NDArray[np.int64]
) -> tuple[float, float]:
    """Return the cross-entropy and the accuracy on the original images `rows`."""
    logits = np.concatenate(
        [
            np.asarray(model(_to_float(squares[rows[start : start + 512], 0]), training=False))
            for start in range(0, len(rows), 512)
        ]
    ).astype(np.float64)
    shares = (
        logits
        - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True))
        - logits.max(1, keepdims=True)
    )
    return float(-(shares * truth[rows]).sum(1).mean()), float((logits.argmax(1) == truth[rows].argmax(1)).mean())


def _save_weights(model: Any, path: Path) -> None:
    """Save the convolutions, with batch normalization folded in, in the layout of `sparkdl.networks.inknet`."""
    arrays: dict[str, NDArray[np.float32]] = {}
    names = [part for name in STRIDES for part in ((f"{name}.0", f"{name}.1") if is_block(name) else (name,))]
    for name in (*names, "embedding"):
        kernel = np.asarray(model.get_layer(name.replace(".", "_")).kernel)
        norm = model.get_layer(f"{name.replace('.', '_')}_norm")
        gain = np.asarray(norm.gamma) / np.sqrt(np.asarray(norm.moving_variance) + norm.epsilon)
        if name == "embedding":  # [height * width * channels, out], as a convolution over its whole input
            kernel = kernel.reshape(SIDE // 8, SIDE // 8, -1, EMBEDDING)
        arrays[f"{name}.kernel"] = np.ascontiguousarray((kernel * gain).transpose(3, 2, 0, 1), np.float32)
        arrays[f"{name}.bias"] = (np.asarray(norm.beta) - np.asarray(norm.moving_mean) * gain).astype(np.float32)
    np.savez(path, **arrays)  # type: ignore[arg-type] # numpy's stub mistakes the names for its own keywords


if __name__ == "__main__":
    main()
