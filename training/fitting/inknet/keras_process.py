"""The process that trains InkNet: the one module beside `sparkdl.networks.keras_export` that imports Keras, and only in
functions.
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
from training.fitting.inknet.negatives import strangers
from training.fitting.inknet.trainer import STATE, WEIGHTS

WIDTHS = (16, 32, 64, 128)
EMBEDDING = 128
BATCH = 128
PEAK_RATE = 2e-3  # of AdamW, after the warm-up
WARM_UP = 300  # batches
DECAY = 0.02
SMOOTHING = 0.05
PATIENCE = 6  # epochs without a better validation loss
STRANGERS = 12  # pictures of characters, to one that shows none


def main() -> None:
    """Takes the directory with the arrays, and the request as JSON; writes `epoch epochs accuracy` after each epoch."""
    place, request = Path(sys.argv[1]), json.loads(sys.argv[2])
    squares = np.load(place / "squares.npy", mmap_mode="r")
    train(place, squares, np.load(place / "labels.npy"), np.load(place / "held_out.npy"), **request)


def train(
    place: Path,
    squares: NDArray[np.uint8],
    labels: NDArray[np.int64],
    held_out: NDArray[np.int64],
    epochs: int,
    seed: int,
) -> None:
    """See `training.fitting.inknet.trainer.train_inknet`; writes `WEIGHTS` into `place`."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    images, variants = squares.shape[:2]
    classes = int(labels.max()) + 1
    learned = np.setdiff1d(np.arange(images), held_out)
    batch = min(BATCH, max(len(learned) // 8, 1))
    steps = math.ceil(len(learned) / batch)

    state, notes = place / STATE, place / "epoch.json"
    if notes.is_file():
        model = keras.models.load_model(state)
        said = json.loads(notes.read_text())
    else:
        model = network(classes)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, max(epochs * steps - WARM_UP, 1), warmup_target=PEAK_RATE, warmup_steps=WARM_UP
        )
        loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=SMOOTHING)
        model.compile(keras.optimizers.AdamW(rate, weight_decay=DECAY), loss)
        said = {"epoch": 0, "best": math.inf, "waited": 0}
    truth = np.eye(classes, dtype=np.float32)[labels]
    while said["epoch"] < epochs and said["waited"] < PATIENCE:
        chance = np.random.default_rng([seed, said["epoch"]])
        mixed = chance.permutation(learned)
        chosen = chance.integers(variants, size=len(mixed))
        for start in range(0, len(mixed), batch):
            rows = mixed[start : start + batch]
            pictures = squares[rows, chosen[start : start + batch]]
            others = strangers(pictures, max(len(rows) // STRANGERS, 1), chance)
            undecided = np.full((len(others), classes), 1 / classes, np.float32)
            model.train_on_batch(_fed(np.concatenate([pictures, others])), np.concatenate([truth[rows], undecided]))
        loss, accuracy = _validate(model, squares, truth, held_out if len(held_out) else learned)
        said["epoch"] += 1
        said["waited"] += 1
        if loss < said["best"]:
            said["best"], said["waited"] = loss, 0
            _save_weights(model, place / WEIGHTS.replace(".", "-best."))
        # The state first: were the epoch noted without it, one epoch would be left out.
        partial = place / f"partial-{STATE}"
        model.save(partial)
        partial.replace(state)
        noted = place / "partial-epoch.json"
        noted.write_text(json.dumps(said))
        noted.replace(notes)
        sys.stdout.write(f"{said['epoch']} {epochs} {accuracy}\n")
        sys.stdout.flush()
    (place / WEIGHTS.replace(".", "-best.")).replace(place / WEIGHTS)


def network(classes: int) -> Any:
    """InkNet as a Keras model: float32 [N, 32, 32, 1], 0 to 1, to logits [N, classes]."""
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


def _fed(squares: NDArray[np.uint8]) -> NDArray[np.float32]:
    return squares[..., None].astype(np.float32) / np.float32(255)


def _validate(
    model: Any, squares: NDArray[np.uint8], truth: NDArray[np.float32], rows: NDArray[np.int64]
) -> tuple[float, float]:
    """The cross-entropy and the accuracy on the images `rows`, as they are."""
    logits = np.concatenate(
        [
            np.asarray(model(_fed(squares[rows[start : start + 512], 0]), training=False))
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
    """The convolutions with their batch normalisation folded in, in the layout of `sparkdl.networks.inknet`."""
    arrays: dict[str, NDArray[np.float32]] = {}
    names = [part for name in STRIDES for part in ((f"{name}.0", f"{name}.1") if is_block(name) else (name,))]
    for name in (*names, "embedding"):
        kernel = np.asarray(model.get_layer(name.replace(".", "_")).kernel)
        norm = model.get_layer(f"{name.replace('.', '_')}_norm")
        gain = np.asarray(norm.gamma) / np.sqrt(np.asarray(norm.moving_variance) + norm.epsilon)
        if name == "embedding":  # [height * width * channels, out], as a convolution over the whole of its input
            kernel = kernel.reshape(SIDE // 8, SIDE // 8, -1, EMBEDDING)
        arrays[f"{name}.kernel"] = np.ascontiguousarray((kernel * gain).transpose(3, 2, 0, 1), np.float32)
        arrays[f"{name}.bias"] = (np.asarray(norm.beta) - np.asarray(norm.moving_mean) * gain).astype(np.float32)
    np.savez(path, **arrays)  # type: ignore[arg-type] # numpy's stub takes the names for its own keywords


if __name__ == "__main__":
    main()
