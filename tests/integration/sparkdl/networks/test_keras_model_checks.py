"""Keras files from anywhere: what could run code, or reach beyond the file, is refused by name, and nothing runs."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from needs import need

from sparkdl import KerasTransformer
from sparkdl.errors import RequestError, SparkdlError
from sparkdl.networks.keras_files.checks import check_config, check_keras_file
from sparkdl.networks.keras_files.conversion import convert_keras

need(find_spec("h5py"), "Keras's files are HDF5, which h5py reads, part of the optional extra `keras`")
need(find_spec("tensorflow"), "Keras models are converted with TensorFlow, the optional extra `keras`")

import h5py  # noqa: E402

Change = Callable[[dict[str, Any]], None]

CONFIG: dict[str, Any] = {
    "module": "keras",
    "class_name": "Sequential",
    "registered_name": None,
    "config": {
        "name": "sequential",
        "layers": [
            {
                "module": "keras.layers",
                "class_name": "InputLayer",
                "config": {"batch_shape": [None, 5], "dtype": "float32", "name": "x"},
                "registered_name": None,
            },
            {
                "module": "keras.layers",
                "class_name": "Dense",
                "config": {
                    "name": "dense",
                    "units": 3,
                    "activation": {
                        "module": "builtins",
                        "class_name": "function",
                        "config": "relu",
                        "registered_name": "function",
                    },
                    "kernel_initializer": {
                        "module": "keras.initializers",
                        "class_name": "GlorotUniform",
                        "config": {"seed": None},
                        "registered_name": None,
                    },
                },
                "registered_name": None,
            },
        ],
    },
    "compile_config": {"optimizer": "adam", "loss": {"class_name": "function", "module": "__main__", "config": "mine"}},
}


def layer(config: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = config["config"]["layers"][1]
    return found


def a_lambda(config: dict[str, Any]) -> None:
    code = {"class_name": "__lambda__", "config": {"value": "4wAAAA==", "defaults": None, "closure": None}}
    layer(config).update(class_name="Lambda", config={"name": "dense", "function": code})


def a_bare_lambda(config: dict[str, Any]) -> None:
    layer(config)["config"]["activation"] = {"class_name": "__lambda__", "config": {"value": "4wAAAA=="}}


def a_function(config: dict[str, Any]) -> None:
    layer(config)["config"]["activation"] = {"class_name": "function", "module": "os", "config": "system"}


def a_function_called_as_one_of_keras(config: dict[str, Any]) -> None:
    layer(config)["config"]["activation"].update(module="os")


def a_function_with_another_name_registered(config: dict[str, Any]) -> None:
    layer(config)["config"]["activation"].update(registered_name="evil>relu")


def a_custom_layer(config: dict[str, Any]) -> None:
    layer(config).update(registered_name="evil>Dense")


def a_module(config: dict[str, Any]) -> None:
    layer(config).update(module="subprocess", class_name="Dense")


def a_framework(config: dict[str, Any]) -> None:
    layer(config).update(class_name="TorchModuleWrapper", config={"module": "gASVJQ=="})


def a_saved_model(config: dict[str, Any]) -> None:
    layer(config).update(class_name="TFSMLayer", config={"filepath": "/tmp"})


def a_vocabulary(config: dict[str, Any]) -> None:
    layer(config).update(class_name="StringLookup", config={"vocabulary": "/etc/passwd"})


def a_download(config: dict[str, Any]) -> None:
    layer(config).update(module="keras.utils", class_name="get_file", config={"origin": "http://example.org"})


def a_part_of_a_part(config: dict[str, Any]) -> None:
    layer(config)["config"]["kernel_initializer"]["config"]["seed"] = {"class_name": "Popen", "module": "subprocess"}


HOSTILE: list[tuple[Change, str]] = [
    (a_lambda, "'Lambda'"),
    (a_bare_lambda, "'__lambda__'"),
    (a_function, "it names the function 'system'"),
    (a_function_called_as_one_of_keras, "it names the function 'relu'"),
    (a_function_with_another_name_registered, "it names the function 'relu'"),
    (a_custom_layer, "'evil>Dense'"),
    (a_module, "its Dense is of module 'subprocess'"),
    (a_framework, "'TorchModuleWrapper'"),
    (a_saved_model, "'TFSMLayer'"),
    (a_vocabulary, "'StringLookup'"),
    (a_download, "'get_file'"),
    (a_part_of_a_part, "'Popen'"),
]


def archive(path: Path, config: dict[str, Any], **members: bytes) -> Path:
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        file["layers/dense/vars/0"] = [[0.5] * 3] * 5
    with zipfile.ZipFile(path, "w") as written:
        written.writestr("config.json", json.dumps(config))
        written.writestr("metadata.json", '{"keras_version": "3.15.1"}')
        written.writestr("model.weights.h5", weights.getvalue())
        for name, content in members.items():
            written.writestr(name, content)
    return path


def hdf5(path: Path, config: dict[str, Any]) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        file["model_weights/dense/dense/kernel"] = [[0.5] * 3] * 5
    return path


@pytest.mark.parametrize("write", [archive, hdf5])
def test_a_model_of_keras_alone_is_let_through(tmp_path: Path, write: Callable[..., Path]) -> None:
    path = write(tmp_path / f"model.{'keras' if write is archive else 'h5'}", CONFIG)
    check_keras_file(path, "model")


@pytest.mark.parametrize(("change", "words"), HOSTILE, ids=[change.__name__ for change, _ in HOSTILE])
@pytest.mark.parametrize("write", [archive, hdf5])
def test_what_could_run_code_is_refused_by_name(
    tmp_path: Path, write: Callable[..., Path], change: Change, words: str
) -> None:
    config = deepcopy(CONFIG)
    change(config)
    path = write(tmp_path / f"model.{'keras' if write is archive else 'h5'}", config)
    with pytest.raises(SparkdlError, match=rf"model\.(keras|h5) is refused: .*{words}"):
        convert_keras(str(path))


def test_a_stage_refuses_a_file_with_code_before_any_work(tmp_path: Path) -> None:
    config = deepcopy(CONFIG)
    a_lambda(config)
    path = archive(tmp_path / "model.keras", config)
    with pytest.raises(SparkdlError, match=r"model\.keras is refused: it holds 'Lambda', expected layers of Keras"):
        KerasTransformer(inputCol="x", modelFile=str(path)).save(f"{tmp_path}/stage")


class Trap:
    """An object whose unpickling makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        return open, (str(self.path), "w")


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_a_pickle_is_not_opened(tmp_path: Path, name: str) -> None:
    trap = tmp_path / "trap"
    (tmp_path / name).write_bytes(pickle.dumps(Trap(trap)))
    with pytest.raises(RequestError, match=r"expected a Keras model, \.keras or \.h5, received another kind of file"):
        convert_keras(str(tmp_path / name))
    assert not trap.exists()


def test_a_pickled_configuration_is_refused(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file.attrs["model_config"] = pickle.dumps(Trap(trap), protocol=0).decode()
    with pytest.raises(SparkdlError, match=r"model\.h5 is refused: "):
        convert_keras(str(tmp_path / "model.h5"))
    assert not trap.exists()


def test_a_member_that_no_archive_of_keras_has_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "model.keras", CONFIG, **{"assets/code.py": b"import os"})
    with pytest.raises(SparkdlError, match=r"'assets/code\.py' is not part of a Keras model"):
        convert_keras(str(path))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_second_configuration_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "model.keras", CONFIG, **{"config.json": b"{}"})
    with pytest.raises(SparkdlError, match="is not part of a Keras model"):
        convert_keras(str(path))


def test_weights_that_lie_in_another_file_are_refused(tmp_path: Path) -> None:
    path = hdf5(tmp_path / "model.h5", CONFIG)
    with h5py.File(path, "a") as file:
        file["model_weights/more"] = h5py.ExternalLink("/etc/passwd", "x")
    with pytest.raises(SparkdlError, match=r"model\.h5 is refused: 'more' is a link"):
        convert_keras(str(path))


def test_weights_without_a_model_say_what_to_save(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file["dense/kernel"] = [1.0]
    with pytest.raises(RequestError, match=r"model\.h5 holds weights without a model: save it by model\.save"):
        convert_keras(str(tmp_path / "model.h5"))


def test_a_configuration_that_is_nested_too_deep_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file.attrs["model_config"] = "[" * 100_000
    with pytest.raises(SparkdlError, match=r"model\.h5 is refused: "):
        convert_keras(str(tmp_path / "model.h5"))


def test_a_configuration_that_is_no_model_is_refused() -> None:
    with pytest.raises(SparkdlError, match="it holds 'Dense2', expected layers"):
        check_config({"class_name": "Dense2"}, "model")
    with pytest.raises(SparkdlError, match="it holds 'list', expected layers"):
        check_config([], "model")


@pytest.mark.slow  # starts TensorFlow
def test_the_tables_name_what_keras_has() -> None:
    import subprocess

    from sparkdl.system.subprocesses import python_command, python_environment

    script = """
import keras
from sparkdl.networks.keras_files.allowed import FUNCTIONS, LAYERS, LOSSES, OPTIMIZERS
old = {"ThresholdedReLU"}
assert {name for name in LAYERS if not hasattr(keras.layers, name)} <= old
for name in OPTIMIZERS: keras.optimizers.get(name)
for name in LOSSES: assert keras.losses.get(name)
for name in FUNCTIONS: assert callable(keras.activations.get(name))
"""
    environment = python_environment(KERAS_BACKEND="tensorflow", CUDA_VISIBLE_DEVICES="-1")
    child = subprocess.run(python_command("-c", script), env=environment, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr[-2000:]
