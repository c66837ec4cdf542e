"""Promises of `sparkdl.networks.keras_export`: the ONNX graph computes what Keras computes; errors are clear."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
from needs import need
from numpy.typing import NDArray
from parity import largest_relative_difference, run

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.networks.keras_export import convert, export_keras

need(find_spec("tensorflow"), "networks are exported with TensorFlow, the optional extra `keras`")

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own

TOLERANCE = 1e-4


class Case(NamedTuple):
    application: str
    size: tuple[int, int]
    taps: tuple[str, ...]
    suffix: str


CASES = (
    Case("InceptionV3", (75, 75), ("mixed4", "mixed6"), ".weights.h5"),
    Case("Xception", (71, 83), ("block13_sepconv2_bn", "block4_sepconv1_act"), ".weights.h5"),
    Case("ResNet50", (64, 64), ("conv4_block6_out",), ".h5"),
    Case("VGG16", (48, 48), ("block5_pool",), ".h5"),
    Case("VGG19", (48, 64), ("block4_conv4", "block2_pool"), ".weights.h5"),
)


def make_network(application: str, size: tuple[int, int]) -> Any:
    """A network with seeded weights whose batch statistics are not the trivial ones that Keras starts from."""
    import keras

    keras.utils.set_random_seed(20240229)
    random = np.random.default_rng(20240229)
    network = getattr(keras.applications, application)(include_top=False, weights=None, input_shape=(*size, 3))
    for variable in network.variables:
        if variable.name in {"gamma", "moving_variance"}:
            variable.assign(random.uniform(0.5, 1.5, variable.shape))
        elif variable.name in {"beta", "moving_mean", "bias"}:
            variable.assign(random.normal(0.0, 0.1, variable.shape))
    return network


def make_pixels(batch: int, size: tuple[int, int]) -> NDArray[np.float32]:
    return np.random.default_rng(batch).uniform(-1, 1, (batch, *size, 3)).astype(np.float32)


def keras_outputs(network: Any, taps: tuple[str, ...], pixels: NDArray[np.float32]) -> dict[str, Any]:
    import keras

    tapped = keras.Model(network.input, {tap: network.get_layer(tap).output for tap in taps})
    return dict(tapped(pixels, training=False))


@pytest.fixture(scope="module")
def vgg16_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "vgg16.weights.h5"
    make_network("VGG16", (32, 32)).save_weights(path)
    return path


@pytest.fixture(scope="module")
def vgg16(vgg16_weights: Path) -> onnx.ModelProto:
    return export_keras("VGG16", vgg16_weights, (32, 48), ["block3_pool", "block1_conv2", "block2_pool"])


@pytest.mark.parametrize(
    "case",
    CASES,
    ids=lambda case: case.application,
)
@pytest.mark.slow
def test_exported_network_agrees_with_keras_at_any_batch_size(case: Case, tmp_path: Path) -> None:
    network = make_network(case.application, case.size)
    weights = tmp_path / f"network{case.suffix}"
    network.save_weights(weights) if case.suffix == ".weights.h5" else network.save(weights)

    model = convert(case.application, weights, case.size, case.taps)

    for batch in (1, 5):
        pixels = make_pixels(batch, case.size)
        difference = largest_relative_difference(run(model, pixels), keras_outputs(network, case.taps, pixels))
        assert difference <= TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize(("pixels", "tap"), [(107, "mixed6"), (299, "mixed10")])
def test_trained_inception_agrees_with_keras(inception_weights: Path, pixels: int, tap: str) -> None:
    import keras

    size = (pixels, pixels)
    images = make_pixels(2, size)
    network = keras.applications.InceptionV3(include_top=False, weights=None, input_shape=(*size, 3))
    network.load_weights(inception_weights)

    model = export_keras("InceptionV3", inception_weights, size, [tap])

    assert largest_relative_difference(run(model, images), keras_outputs(network, (tap,), images)) <= TOLERANCE


@pytest.mark.slow
def test_graph_has_one_input_and_the_taps_in_the_order_asked_for(vgg16: onnx.ModelProto) -> None:
    def signature(values: Any) -> list[tuple[str, list[str | int]]]:
        return [
            (value.name, [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]) for value in values
        ]

    assert signature(vgg16.graph.input) == [("pixels", ["N", 32, 48, 3])]
    assert signature(vgg16.graph.output) == [
        ("block3_pool", ["N", 4, 6, 256]),
        ("block1_conv2", ["N", 32, 48, 64]),
        ("block2_pool", ["N", 8, 12, 128]),
    ]


@pytest.mark.slow
def test_same_weights_give_the_same_bytes_and_no_path(vgg16_weights: Path, vgg16: onnx.ModelProto) -> None:
    content = vgg16.SerializeToString(deterministic=True)
    again = export_keras("VGG16", vgg16_weights, (32, 48), ["block3_pool", "block1_conv2", "block2_pool"])

    assert again.SerializeToString(deterministic=True) == content
    for path in (vgg16_weights.parent, Path.home(), Path.cwd(), Path(sys.prefix)):
        assert str(path).encode() not in content


@pytest.mark.slow
def test_exporting_leaves_tensorflow_out_of_the_calling_process(vgg16_weights: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from sparkdl.networks.keras_export import export_keras\n"
        f"export_keras('VGG16', Path({str(vgg16_weights)!r}), (32, 32), ['block1_pool'])\n"
        "print({'tensorflow', 'keras', 'tf2onnx'} & set(sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)

    assert (done.stdout, done.stderr) == ("set()\n", "")


@pytest.mark.slow
def test_unknown_tap_layer_offers_the_nearest(vgg16_weights: Path) -> None:
    with pytest.raises(RequestError, match=r"unknown tap layer 'block5_pol': did you mean block5_pool"):
        export_keras("VGG16", vgg16_weights, (32, 32), ["block5_pol"])


def test_unknown_application_offers_the_nearest() -> None:
    with pytest.raises(RequestError, match=r"unknown Keras application 'InceptionV4': did you mean InceptionV3"):
        convert("InceptionV4", None, (299, 299), ["mixed10"])


@pytest.mark.parametrize("taps", [[], ["block1_pool", "block1_pool"]])
def test_taps_are_one_or_more_and_differ(vgg16_weights: Path, taps: list[str]) -> None:
    with pytest.raises(RequestError, match="expected one or more different tap layers, received"):
        convert("VGG16", vgg16_weights, (32, 32), taps)


def test_too_small_an_input_is_refused_with_the_smallest_allowed() -> None:
    with pytest.raises(RequestError, match=r"InceptionV3: Input size must be at least 75x75"):
        convert("InceptionV3", None, (74, 74), ["mixed4"])


def test_missing_weights_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"expected a Keras weights file, received '.*nowhere.h5': no such file"):
        export_keras("VGG16", tmp_path / "nowhere.h5", (32, 32), ["block1_pool"])


@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_weights_of_another_network_are_refused_in_one_line(vgg16_weights: Path) -> None:
    with pytest.raises(RequestError, match=r"VGG19: expected weights of this network .*: \S+") as raised:
        convert("VGG19", vgg16_weights, (32, 32), ["block1_pool"])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["noise.weights.h5", "noise.h5", "noise.keras", "noise.npz"])
def test_file_that_holds_no_weights_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(np.random.default_rng(1).bytes(4096))
    with pytest.raises(RequestError, match=r"VGG16: expected weights of this network .*noise.*: \S+"):
        convert("VGG16", path, (32, 32), ["block1_pool"])


@pytest.mark.slow
def test_failed_download_says_where_weights_may_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(SparkdlError, match=r"VGG16: .*give weights=PATH or put the file in .*SPARKDL_WEIGHTS_DIR"):
        export_keras("VGG16", None, (32, 32), ["block1_pool"])


def test_missing_tensorflow_is_answered_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(SparkdlError) as raised:
        export_keras("InceptionV3", None, (299, 299), ["mixed10"])
    assert str(raised.value) == (
        "the export of InceptionV3 needs TensorFlow, which is not installed: pip install 'sparkdl-streaming[keras]'"
    )
