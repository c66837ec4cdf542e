"""Promises of `sparkdl.networks.imported` about files from anywhere: refused by name, and nothing in them is run."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from foreign_networks import LABELS, VIT, classifier, write_folder
from onnx import TensorProto, helper, numpy_helper
from onnx_graphs import elsewhere

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.models.importing import prepare_import
from sparkdl.networks.imported.description import NORMALIZATIONS, Described
from sparkdl.networks.imported.labels import read_labels
from sparkdl.networks.imported.onnx_file import read_onnx
from sparkdl.networks.imported.sources import read_source
from sparkdl.networks.keras_files.checks import check_config

STATED = Described(labels=LABELS, normalization=NORMALIZATIONS["unit"][0])


class Planted:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def refused(address: Path, *words: str, stated: Described = STATED) -> None:
    with pytest.raises(SparkdlError) as caught:
        prepare_import(read_source(str(address), stated))
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


# --- ONNX -------------------------------------------------------------------------------------------------------------


def saved(tmp_path: Path, model: onnx.ModelProto) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("place", ["/etc/passwd", "../secret.bin", "sub/../../secret.bin", "sub/weights.bin", "", ".."])
def test_data_outside_the_folder_is_never_read(place: str, tmp_path: Path) -> None:
    model = classifier()
    (tmp_path / "secret.bin").write_bytes(b"s" * 16)
    folder = tmp_path / "folder"
    folder.mkdir()
    model.graph.initializer.append(elsewhere("stolen", place))
    refused(saved(folder, model), "'stolen' lies in", "expected a file beside it")


def test_a_link_to_data_outside_the_folder_is_never_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(b"s" * 16)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "weights.bin").symlink_to(tmp_path / "secret.bin")
    model = classifier()
    model.graph.initializer.append(elsewhere("stolen", "weights.bin"))
    refused(saved(folder, model), "weights.bin is a link out of the folder")


def outside(tmp_path: Path, **stated: str) -> Path:
    """A classifier whose matrix lies in the file beside it."""
    model = classifier()
    (matrix,) = (tensor for tensor in model.graph.initializer if tensor.name == "matrix")
    (tmp_path / "weights.bin").write_bytes(matrix.raw_data)
    said = {"location": "weights.bin", "offset": "0", "length": str(len(matrix.raw_data))} | stated
    matrix.ClearField("raw_data")
    matrix.data_location = TensorProto.EXTERNAL
    for key, value in said.items():
        matrix.external_data.add(key=key, value=value)
    return saved(tmp_path, model)


def test_data_beside_the_file_is_put_into_it(tmp_path: Path) -> None:
    content = read_onnx(outside(tmp_path))
    expected = {tensor.name: numpy_helper.to_array(tensor) for tensor in classifier().graph.initializer}
    for tensor in onnx.ModelProto.FromString(content).graph.initializer:
        np.testing.assert_array_equal(numpy_helper.to_array(tensor), expected[tensor.name])


@pytest.mark.parametrize(
    "stated", [{"offset": "-4"}, {"offset": "8"}, {"length": "4"}, {"length": "x"}, {"offset": "9" * 30}]
)
def test_data_of_another_length_is_refused(stated: dict[str, str], tmp_path: Path) -> None:
    refused(outside(tmp_path, **stated), "'matrix'")


def huge(model: onnx.ModelProto) -> None:
    """A tensor of a trillion numbers, in a few bytes."""
    model.graph.initializer.append(numpy_helper.from_array(np.array([10**6, 10**6], np.int64), "shape"))
    model.graph.node.insert(0, helper.make_node("ConstantOfShape", ["shape"], ["ones"]))
    model.graph.node.insert(1, helper.make_node("ReduceMax", ["ones"], ["one"], keepdims=0))
    model.graph.node[-1].output[0] = "values"
    model.graph.node.append(helper.make_node("Add", ["values", "one"], ["logits"]))


def unknown_operator(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.evil", 1))
    model.graph.node[1].domain = "com.evil"
    model.graph.node[1].op_type = "RunShell"


def loop(model: onnx.ModelProto) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["", ""], ["never"], body=body))


def nested(model: onnx.ModelProto) -> None:
    graph = helper.make_graph([], "deepest", [], [])
    for depth in range(40):
        node = helper.make_node("If", ["condition"], ["x"], then_branch=graph, else_branch=graph)
        graph = helper.make_graph([node], f"level{depth}", [], [])
        if graph.ByteSize() > 1 << 20:
            break
    model.graph.node.append(helper.make_node("If", ["c"], ["x"], then_branch=graph, else_branch=graph))


def function(model: onnx.ModelProto) -> None:
    model.functions.add(name="f", domain="local")


@pytest.mark.parametrize(
    ("hostile", "said"),
    [
        (huge, "it fails on an image"),
        (unknown_operator, "com.evil.RunShell is not one of ONNX"),
        (loop, "is a graph, expected no loops"),
        (nested, ""),
        (function, "it holds functions"),
    ],
)
def test_a_hostile_graph_is_refused_by_name(
    hostile: Callable[[onnx.ModelProto], None], said: str, tmp_path: Path
) -> None:
    model = classifier()
    hostile(model)
    refused(saved(tmp_path, model), "model.onnx", said)


@pytest.mark.parametrize("size", [10**9, 5000])
def test_an_input_of_huge_images_is_refused(size: int, tmp_path: Path) -> None:
    model = classifier()
    for axis in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = size
    refused(saved(tmp_path, model), "1 to 4096 pixels a side")


def test_a_file_that_is_no_onnx_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(pickle.dumps(Planted(tmp_path / "planted")))
    refused(path, "not an ONNX file")
    path.write_bytes(b"")
    refused(path, "not an ONNX file")
    assert not (tmp_path / "planted").exists()


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.pkl", "pytorch_model.bin", "model.joblib"])
def test_a_pickle_is_refused_unopened(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(pickle.dumps(Planted(tmp_path / "planted")))
    refused(path, "can run code when it is loaded")
    assert not (tmp_path / "planted").exists()


# --- folders ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        {"auto_map": {"AutoModelForImageClassification": "modeling.Evil"}},
        {"vision_config": {"auto_map": {"AutoConfig": "evil.Config"}}},
        {"trust_remote_code": True},
    ],
)
def test_a_folder_that_asks_for_code_of_its_own_is_refused(config: dict[str, Any], tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "evil", classifier(), config)
    planted = tmp_path / "planted"
    (folder / "modeling.py").write_text(f"open({str(planted)!r}, 'w')")
    refused(folder, "config.json", "asks for code of the folder's own, which is never run")
    assert not planted.exists()


def test_a_processor_that_asks_for_code_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "evil", classifier(), None, {**VIT, "auto_map": {"AutoImageProcessor": "x.Y"}})
    refused(folder, "preprocessor_config.json: auto_map")


def test_weights_that_are_pickles_are_refused_unopened(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "old", None)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Planted(tmp_path / "planted")))
    refused(folder, "pytorch_model.bin can run code when it is loaded", "optimum-cli export onnx")
    (folder / "pytorch_model.bin").rename(folder / "model.safetensors")
    refused(folder, "weights without a graph")
    assert not (tmp_path / "planted").exists()


def test_pickles_beside_a_network_are_left_alone(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "both", classifier(), name="onnx/model.onnx")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Planted(tmp_path / "planted")))
    assert prepare_import(read_source(str(folder), Described())).labels == LABELS
    assert not (tmp_path / "planted").exists()


def test_links_out_of_a_folder_are_never_followed(tmp_path: Path) -> None:
    real = write_folder(tmp_path / "real", classifier())
    folder = write_folder(tmp_path / "linked", None)
    (folder / "model.onnx").symlink_to(real / "model.onnx")
    refused(folder, "model.onnx is a link out of the folder")


def test_a_cache_of_huggingface_hub_is_made_of_links(tmp_path: Path) -> None:
    home = tmp_path / "models--me--vit"
    folder = write_folder(home / "snapshots" / "abc", classifier())
    (home / "blobs").mkdir()
    for number, path in enumerate(list(folder.iterdir())):
        blob = path.rename(home / "blobs" / str(number))
        path.symlink_to(Path("../../blobs") / blob.name)
    assert prepare_import(read_source(str(folder), Described())).labels == LABELS


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"[" * 100_000, "no JSON"), (b"[]", "expected a JSON object"), (b'{"id2label": {"0": "a", "7": "b"}}', "0 to 1")],
)
def test_a_damaged_configuration_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "odd", classifier())
    (folder / "config.json").write_bytes(content)
    refused(folder, "config.json", said)


# --- Keras ------------------------------------------------------------------------------------------------------------


def layer(
    kind: str, module: str | None = "keras.layers", registered: str | None = None, **config: Any
) -> dict[str, Any]:
    return {"class_name": kind, "module": module, "registered_name": registered, "config": config}


def model_of(*layers: dict[str, Any]) -> dict[str, Any]:
    return layer("Sequential", "keras", layers=list(layers))


def test_a_size_that_no_layer_has_is_refused() -> None:
    with pytest.raises(SparkdlError, match=r"model\.keras is refused: .* received units 1000000000000"):
        check_config(model_of(layer("Dense", units=10**12)), "model.keras")


def test_what_a_model_was_compiled_with_is_dropped() -> None:
    config = model_of(layer("Dense", units=3)) | {"compile_config": {"loss": {"class_name": "Evil"}}}
    assert "compile_config" not in check_config(config, "model.keras")


def test_a_configuration_of_millions_of_values_is_refused() -> None:
    with pytest.raises(SparkdlError, match="more than 2000000 values"):
        check_config(model_of(layer("Dense", units=[1] * 2_000_001)), "model.keras")


# --- labels -----------------------------------------------------------------------------------------------------------


def test_labels_are_read_from_text_and_json(tmp_path: Path) -> None:
    path = tmp_path / "labels"
    for content in ("ant\nbee\n\ncat\n", '["ant", "bee", "cat"]', '{"2": "cat", "0": "ant", "1": ["n1", "bee"]}'):
        path.write_text(content)
        assert read_labels(path) == ("ant", "bee", "cat")


def test_equal_labels_get_their_index(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("crane\nmaillot\ncrane\n")
    assert read_labels(path) == ("crane (0)", "maillot", "crane (2)")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b'{"0": 3}', b'{"x": "y"}', b"{", b'["a", ""]', b"a" * 501])
def test_labels_that_are_none_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(RequestError) as refused_:
        read_labels(path)
    assert str(path) in str(refused_.value)


def test_an_archive_in_place_of_a_network_is_refused(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archived:
        archived.writestr("model.onnx", b"x")
    path = tmp_path / "model.onnx"
    path.write_bytes(file.getvalue())
    refused(path, "not an ONNX file")
