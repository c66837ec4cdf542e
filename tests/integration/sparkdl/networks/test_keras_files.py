"""Promises of `sparkdl.networks.imported.keras_file`: Keras's outputs, and nothing but arrays and layers is loaded."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from needs import need
from numpy.typing import NDArray

need(find_spec("tensorflow"), "Keras files are converted with TensorFlow, the optional extra `keras`")

import h5py  # noqa: E402  # comes with Keras

from sparkdl.errors import RequestError, SparkdlError  # noqa: E402
from sparkdl.models.importing import prepare_import  # noqa: E402
from sparkdl.networks.imported.adapter import adapt  # noqa: E402
from sparkdl.networks.imported.description import NORMALIZATIONS, Described  # noqa: E402
from sparkdl.networks.imported.sources import read_source  # noqa: E402
from sparkdl.networks.keras_files.checks import check_keras_file, scales_pixels  # noqa: E402
from sparkdl.networks.keras_files.process import answer  # noqa: E402

pytestmark = pytest.mark.slow  # imports TensorFlow

LABELS = ("ant", "bee", "cat")
QUICK = (
    "DenseNet121",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Large",
    "MobileNetV3Small",
    "Xception",
)
"""Architectures of keras.applications that are converted in 5 to 20 s each."""
OTHERS = (
    *("DenseNet169", "DenseNet201", "InceptionResNetV2", "InceptionV3", "NASNetMobile", "VGG16", "VGG19"),
    *(f"EfficientNetB{number}" for number in (1, 2, 3, 4, 5)),
    *(f"EfficientNetV2{size}" for size in ("B1", "B2", "B3", "S")),
    *(f"ResNet{depth}{version}" for depth in (50, 101, 152) for version in ("", "V2")),
)
"""Those that take up to a minute each: with SPARKDL_ARCHITECTURES=all."""
APPLICATIONS = QUICK + (OTHERS if os.environ.get("SPARKDL_ARCHITECTURES") == "all" else ())
SIDES = {"InceptionResNetV2": 75, "InceptionV3": 75, "Xception": 71}
"""Pixels that an architecture needs at least, if more than 32."""


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ.update({"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"})
    import keras

    return keras


def small(keras: Any, *, last: str | None = "softmax", scaled: bool = True) -> Any:
    layers = keras.layers
    scaling = [layers.Rescaling(1 / 127.5, offset=-1)] if scaled else []
    return keras.Sequential(
        [
            keras.Input((32, 24, 3)),
            *scaling,
            layers.Conv2D(8, 3, strides=2, activation="relu"),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(len(LABELS), activation=last),
        ]
    )


def convert(path: Path) -> bytes:
    """Convert a model as the separate process does, in this one, which has loaded TensorFlow."""
    return answer({"file": str(path), "name": path.name})


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, shape, np.uint8)


def outputs(content: bytes, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    found: NDArray[np.float32] = session.run(["features"], {"image": rgb[..., ::-1].copy()})[0]
    return found


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_saved_model_gives_keras_own_outputs(suffix: str, keras: Any, tmp_path: Path) -> None:
    model = small(keras)
    model.compile(optimizer="adam", loss="categorical_crossentropy")
    path = tmp_path / f"animals.{suffix}"
    model.save(path)
    foreign = read_source(str(path), Described(labels=LABELS))
    prepared = prepare_import(foreign)
    assert prepared.settings.input_shape == (32, 24, 3)
    assert prepared.settings.activation == "none"  # it ends with a softmax
    rgb = noise(4, 32, 24, 3)
    expected = model.predict(rgb.astype(np.float32), verbose=0)
    np.testing.assert_allclose(outputs(prepared.network, rgb), expected, atol=1e-5)


def test_a_model_that_does_not_scale_its_pixels_needs_a_flag(keras: Any, tmp_path: Path) -> None:
    path = tmp_path / "animals.keras"
    model = small(keras, scaled=False, last=None)
    model.save(path)
    with pytest.raises(RequestError, match="--normalize"):
        prepare_import(read_source(str(path), Described(labels=LABELS)))
    stated = Described(labels=LABELS, normalization=NORMALIZATIONS["symmetric"][0])
    prepared = prepare_import(read_source(str(path), stated))
    assert prepared.settings.activation == "softmax"
    rgb = noise(2, 32, 24, 3)
    expected = model.predict(rgb.astype(np.float32) / 127.5 - 1, verbose=0)
    np.testing.assert_allclose(outputs(prepared.network, rgb), expected, atol=1e-5)


@pytest.mark.parametrize("name", APPLICATIONS)
def test_an_architecture_of_keras_keeps_its_outputs(name: str, keras: Any, tmp_path: Path) -> None:
    keras.utils.set_random_seed(5)
    size = SIDES.get(name, 32)
    model = getattr(keras.applications, name)(
        weights=None, input_shape=(size, size, 3), classes=12, classifier_activation=None
    )
    path = tmp_path / f"{name}.keras"
    model.save(path)
    content, scales_itself = convert(path), scales_pixels(check_keras_file(path, path.name))
    stated = Described(layout="NHWC", channels="RGB", normalization=NORMALIZATIONS["none"][0])
    if not scales_itself:
        stated = Described(normalization=NORMALIZATIONS["symmetric"][0]).over(stated)
    adapted = adapt(content, path.name, stated)
    rgb = noise(3, size, size, 3)
    pixels = rgb.astype(np.float32) if scales_itself else rgb.astype(np.float32) / 127.5 - 1
    expected = model.predict(pixels, verbose=0)
    spread = max(float(np.abs(expected).max()), 1e-6)
    np.testing.assert_allclose(outputs(adapted.content, rgb) / spread, expected / spread, atol=1e-4)


def test_what_onnx_has_no_equivalent_of_is_named(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(6, 3, groups=3), layers.Flatten()])
    path = tmp_path / "grouped.keras"
    model.save(path)
    with pytest.raises(SparkdlError, match=r"grouped\.keras cannot be converted to ONNX: it has no equivalent of"):
        convert(path)


# --- hostile files ----------------------------------------------------------------------------------------------------


def with_config(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Change the configuration of a `.keras` file."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config)
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def planted_lambda(keras: Any, planted: Path) -> Any:
    code = f"open({str(planted)!r}, 'w')"
    run = eval(f"lambda x: ({code}, x)[1]")
    return keras.Sequential([keras.Input((32, 24, 3)), keras.layers.Lambda(run), keras.layers.Flatten()])


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_lambda_layer_is_refused_and_not_run(suffix: str, keras: Any, tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    path = tmp_path / f"evil.{suffix}"
    planted_lambda(keras, planted).save(path)
    planted.unlink(missing_ok=True)  # Keras runs it when the layer is built
    with pytest.raises(SparkdlError, match=r"evil.* is refused: it holds 'Lambda'"):
        read_source(str(path), Described(labels=LABELS))
    assert not planted.exists()


def test_a_configuration_that_names_a_module_is_refused_and_not_imported(keras: Any, tmp_path: Path) -> None:
    path = tmp_path / "evil.keras"
    small(keras).save(path)

    def change(config: dict[str, Any]) -> None:
        config["config"]["layers"][1].update(module="antigravity", class_name="Rescaling")

    with_config(path, change)
    with pytest.raises(SparkdlError, match="is of module 'antigravity'"):
        read_source(str(path), Described(labels=LABELS))


def test_a_pickled_configuration_is_refused(keras: Any, tmp_path: Path) -> None:
    import pickle

    path = tmp_path / "evil.h5"
    small(keras).save(path)
    with h5py.File(path, "r+") as file:
        del file.attrs["model_config"]
        file.attrs["model_config"] = np.void(pickle.dumps({"class_name": "x"}))
    with pytest.raises(SparkdlError, match=r"evil\.h5 is refused"):
        read_source(str(path), Described(labels=LABELS))


def test_weights_in_another_file_are_refused(keras: Any, tmp_path: Path) -> None:
    path = tmp_path / "evil.h5"
    small(keras).save(path)
    with h5py.File(path, "r+") as file:
        file["model_weights/stolen"] = h5py.ExternalLink("/etc/passwd", "x")
    with pytest.raises(SparkdlError, match="'stolen' is a link"):
        read_source(str(path), Described(labels=LABELS))


@pytest.mark.parametrize(("name", "content"), [("a.keras", b"PK"), ("a.h5", b"\x89HDF"), ("b.h5", b"")])
def test_a_file_that_is_damaged_is_refused_in_one_line(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SparkdlError) as refused:
        read_source(str(tmp_path / name), Described(labels=LABELS))
    assert name in str(refused.value)
    assert "\n" not in str(refused.value)


def test_weights_without_a_model_are_refused(keras: Any, tmp_path: Path) -> None:
    path = tmp_path / "only.weights.h5"
    small(keras).save_weights(path)
    with pytest.raises(RequestError, match="weights without a model"):
        read_source(str(path), Described(labels=LABELS))
