"""Promises of InkNet: its graph computes what Keras trained, and an interrupted training resumes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from inknet_weights import random_weights
from needs import need
from numpy.typing import NDArray

from sparkdl.decoding.decode import decode
from sparkdl.errors import SparkdlError
from sparkdl.images.ink import normalize_ink
from sparkdl.images.pixels import to_gray
from sparkdl.networks.inknet import SIDE, build, read_weights
from sparkdl.system.cache import cache_directory
from training.data.synthetic.digits import draw_png
from training.fitting.augmentation import augment
from training.fitting.inknet.trainer import discard_training, train_inknet


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return random_weights(tmp_path / "weights.npz")


def test_the_graph_takes_pixels_and_gives_an_embedding(weights: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(build(weights, ["embedding"]).SerializeToString())
    pixels = np.random.default_rng(1).random((3, SIDE, SIDE, 1), np.float32)
    (embedding,) = session.run(None, {"pixels": pixels})
    assert (embedding.shape, embedding.dtype) == ((3, 1, 1, 12), np.float32)
    assert (embedding >= 0).all()
    assert (embedding > 0).any()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"block2.1.kernel": None}, "expected block2.1.kernel, float32 [8, 8, 3, 3], finite; received none"),
        ({"stem.bias": np.zeros(5, np.float32)}, "expected stem.bias, float32 [4], finite; received float32 [5]"),
        ({"stem.bias": np.zeros(4)}, "received float64 [4]"),
        ({"stem.bias": np.full(4, np.nan, np.float32)}, "finite"),
        ({"stem.kernel": None}, "no weights of InkNet"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, NDArray[np.float32]], why: str) -> None:
    with pytest.raises(SparkdlError) as raised:
        read_weights(random_weights(tmp_path / "weights.npz", **changes))
    assert why in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"no archive"])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "weights.npz").write_bytes(content)
    with pytest.raises(SparkdlError, match="no weights of InkNet"):
        read_weights(tmp_path / "weights.npz")


# Training; with Keras


@pytest.fixture(scope="module")
def squares() -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """200 synthetic digits of 4 classes, each with an augmented version; their classes; and the held-out tenth."""
    from PIL import Image

    def square(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.asarray(Image.fromarray(normalize_ink(gray)).resize((SIDE, SIDE)))

    rows, labels = [], []
    for label in range(4):
        for seed in range(50):
            pixels = decode(draw_png(label, seed))
            assert isinstance(pixels, np.ndarray)
            gray = to_gray(pixels)
            rows.append([square(gray), square(augment(gray, np.random.default_rng(seed)))])
            labels.append(label)
    return np.array(rows, np.uint8), np.array(labels), np.arange(0, len(rows), 10)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPARKDL_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.slow
@pytest.mark.usefixtures("cache")
def test_the_graph_computes_what_keras_trained_and_the_same_seed_gives_the_same_weights(
    squares: tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]], tmp_path: Path
) -> None:
    need(find_spec("tensorflow"), "InkNet is trained with TensorFlow, the optional extra `keras`")
    import keras
    import onnxruntime

    reports: list[tuple[int, int]] = []
    trained = train_inknet(*squares, epochs=1, seed=3, progress=lambda _, done, of: reports.append((done, of)))
    assert reports == [(1, 1)]
    first = read_weights(trained)
    model = keras.models.load_model(trained.parent / "state.keras")
    embed = keras.Model(model.input, model.layers[-3].output)
    pixels = squares[0][:16, 0, :, :, None].astype(np.float32) / 255
    session = onnxruntime.InferenceSession(build(trained, ["embedding"]).SerializeToString())
    (ours,) = session.run(None, {"pixels": pixels})
    assert np.allclose(ours[:, 0, 0], np.asarray(embed(pixels, training=False)), atol=1e-4)

    discard_training(trained)
    assert not trained.parent.exists()
    again = read_weights(train_inknet(*squares, epochs=1, seed=3, progress=lambda *_: None))
    assert all(np.array_equal(first[name], again[name]) for name in first)


@pytest.mark.slow
def test_an_interrupted_training_resumes(
    squares: tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]], cache: Path, tmp_path: Path
) -> None:
    need(find_spec("tensorflow"), "InkNet is trained with TensorFlow, the optional extra `keras`")
    np.savez(tmp_path / "data.npz", squares=squares[0], labels=squares[1], holdout=squares[2])
    program = (
        "import sys, numpy as np; from training.fitting.inknet.trainer import train_inknet;"
        "data = np.load(sys.argv[1]);"
        "train_inknet(data['squares'], data['labels'], data['holdout'], epochs=4, seed=3, progress=print)"
    )
    killed = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "data.npz")],
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    deadline = time.monotonic() + 120
    while not list(cache.glob("training/*/epoch.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not list(cache.glob("training/*/weights.npz"))

    reports: list[int] = []
    resumed = train_inknet(*squares, epochs=4, seed=3, progress=lambda _, done, of: reports.append(done))
    assert reports
    assert reports[0] > 1
    assert reports[-1] == 4
    assert cache_directory("x").parent == cache
    read_weights(resumed)
