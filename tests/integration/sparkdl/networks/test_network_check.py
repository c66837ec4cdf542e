"""Promises of `sparkdl.networks.validation`: a saved network reads no file and always ends; other files are refused."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper
from onnx_graphs import SECRET, elsewhere, initializer, network
from paths import ROOT
from pyspark.ml import PipelineModel
from pyspark.sql import SparkSession

from sparkdl import DeepImageFeaturizer
from sparkdl.errors import SparkdlError
from sparkdl.networks.builder import build_network
from sparkdl.networks.spec import NetworkSpec
from sparkdl.networks.validation import MAX_PARTS, check_network
from sparkdl.networks.wire_format import Bounds, check_size


def constant(**attributes: object) -> NodeProto:
    return helper.make_node("Constant", [], ["w"], **attributes)


def sparse_values(model: ModelProto) -> None:
    model.graph.sparse_initializer.add(values=elsewhere(), dims=[4])


def sparse_indices(model: ModelProto) -> None:
    model.graph.sparse_initializer.add(indices=elsewhere(), dims=[4])


def attribute(model: ModelProto) -> None:
    model.graph.node.append(constant(value=elsewhere()))


def list_of_attributes(model: ModelProto) -> None:
    model.graph.node.append(NodeProto(attribute=[AttributeProto(name="a", tensors=[elsewhere()])]))


def sparse_attribute(model: ModelProto) -> None:
    node = NodeProto(attribute=[AttributeProto(name="a")])
    node.attribute[0].sparse_tensor.values.CopyFrom(elsewhere())
    model.graph.node.append(node)


def path_without_the_mark(model: ModelProto) -> None:
    model.graph.initializer.append(elsewhere())
    model.graph.initializer[0].ClearField("data_location")


PLACES = [
    initializer, sparse_values, sparse_indices, attribute, list_of_attributes, sparse_attribute, path_without_the_mark
]  # fmt: skip


@pytest.mark.parametrize("put", PLACES)
def test_a_tensor_in_another_file_is_refused_with_its_path(put: Callable[[ModelProto], None]) -> None:
    model = network()
    put(model)
    with pytest.raises(SparkdlError, match=rf"n\.onnx: its tensor '\w*' is in another file, '{SECRET}'"):
        check_network(model.SerializeToString(), "n.onnx")


@pytest.mark.parametrize("path", ["beside.bin", "../up.bin", "*/_ORT_MEM_ADDR_/*", ""])
def test_so_it_is_wherever_the_file_would_be(path: str) -> None:
    model = network()
    model.graph.initializer.append(elsewhere(path=path))
    with pytest.raises(SparkdlError, match="is in another file"):
        check_network(model.SerializeToString(), "n.onnx")


def test_without_the_check_onnx_runtime_would_read_a_file_of_the_worker(tmp_path: Path) -> None:
    # Why the check is needed: if this ceases to hold, it is one guard of two.
    (tmp_path / "secret.bin").write_bytes(np.arange(1000, dtype=np.float32).tobytes())
    tensor = elsewhere(path="secret.bin")
    tensor.dims[0] = 1000
    model = network()
    model.graph.initializer.append(tensor)
    program = (
        "import sys, numpy, onnxruntime\n"
        "session = onnxruntime.InferenceSession(sys.stdin.buffer.read(), providers=['CPUExecutionProvider'])\n"
        "print(session.run(None, {'image': numpy.zeros(1, numpy.float32)})[0][-1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=model.SerializeToString(), capture_output=True, cwd=tmp_path
    )
    assert done.stdout == b"999.0\n"


def a_loop(model: ModelProto) -> None:
    body = helper.make_graph([helper.make_node("Identity", ["go"], ["on"])], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["", "go"], ["end"], body=body))


def many_graphs(model: ModelProto) -> None:
    model.graph.node.append(NodeProto(attribute=[AttributeProto(name="branches", graphs=[GraphProto()])]))


def a_function(model: ModelProto) -> None:
    model.functions.add(name="f", domain="own")


def training(model: ModelProto) -> None:
    model.training_info.add()


def a_custom_operator(model: ModelProto) -> None:
    model.graph.node.append(helper.make_node("EPContext", [], ["e"], domain="com.microsoft", ep_cache_context=SECRET))


def many_nodes(model: ModelProto) -> None:
    model.graph.node.extend([NodeProto()] * (MAX_PARTS + 1))


@pytest.mark.parametrize(
    ("put", "words"),
    [
        (a_loop, "its attribute 'body' is a graph, expected no loops and no branches"),
        (many_graphs, "its attribute 'branches' is a graph"),
        (a_function, "it holds functions"),
        (training, "it holds training information"),
        (a_custom_operator, r"its operator com\.microsoft\.EPContext is not one of ONNX"),
        (many_nodes, f"at most {MAX_PARTS} parts"),
    ],
)
def test_what_might_not_end_or_is_not_onnx_is_refused(put: Callable[[ModelProto], None], words: str) -> None:
    model = network(constant(value_float=1.0))
    put(model)
    with pytest.raises(SparkdlError, match=rf"n\.onnx: .*{words}"):
        check_network(model.SerializeToString(), "n.onnx")


def field(number: int, content: bytes) -> bytes:
    """A field that holds a message, text, or numbers one after the other."""
    length, size = len(content), b""
    while length >= 0x80:
        size, length = size + bytes([length & 0x7F | 0x80]), length >> 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + content


GRAPH, NODE, INITIALIZER, INPUT, ATTRIBUTE = 7, 1, 5, 1, 5
DENSE = {
    "nodes": field(GRAPH, field(NODE, b"") * 10_000_000),
    "names": field(GRAPH, field(NODE, field(INPUT, b"") * 10_000_000)),
    "texts": field(GRAPH, field(INITIALIZER, field(6, b"") * 10_000_000)),
    "packed numbers": field(GRAPH, field(INITIALIZER, field(7, b"\1" * 100_000_000))),
    "packed where the format has them apart": field(
        GRAPH, field(NODE, field(ATTRIBUTE, field(8, b"\1" * 100_000_000)))
    ),
    "numbers": field(GRAPH, field(INITIALIZER, b"\x08\1" * 10_000_000)),
    "graphs in graphs": field(GRAPH, field(NODE, field(ATTRIBUTE, field(11, b"") * 10_000_000))),
}


@pytest.mark.parametrize("content", DENSE.values(), ids=DENSE)
def test_what_would_fill_memory_when_parsed_is_counted_before(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "n.onnx").write_bytes(content)
    program = (
        "import pathlib, resource, sys, onnx\n"
        "from sparkdl.errors import SparkdlError\n"
        "from sparkdl.networks.validation import check_network\n"
        "content = pathlib.Path(sys.argv[1]).read_bytes()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n"
        "    check_network(content, 'n.onnx')\n"
        "except SparkdlError as error:\n"
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "n.onnx")]
    said = subprocess.run(command, capture_output=True, check=True, text=True, cwd=ROOT, timeout=60).stdout
    taken, words = said.split(maxsplit=1)
    assert words == f"n.onnx: expected a network of at most {MAX_PARTS} parts, received more\n"
    assert int(taken) < 100_000  # kB


def test_a_large_tensor_costs_no_time() -> None:
    model = network(constant(value_float=1.0))
    model.graph.initializer.append(TensorProto(raw_data=bytes(200_000_000), data_type=TensorProto.UINT8))
    started = time.process_time()
    check_size(model.SerializeToString(), model.DESCRIPTOR, Bounds(100, 0, 1000))
    assert time.process_time() - started < 1  # its serialization is most of it


@given(st.binary(max_size=200))
def test_any_bytes_are_a_network_or_are_refused_in_words(content: bytes) -> None:
    try:
        check_network(content, "n.onnx")
    except SparkdlError as error:
        assert str(error).startswith("n.onnx")  # noqa: PT017 - or it is a network


def in_onnx_runtimes_own_format(content: bytes) -> bytes:
    """Still a protobuf: an unknown field of 8 bytes whose content has ONNX Runtime's mark, then the network."""
    return b"\xf9\x01abORTMab" + content


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: b"",
        lambda content: b"no network" * 10,
        lambda content: content[:-7],
        lambda content: content[: len(content) // 2],
        in_onnx_runtimes_own_format,
        lambda content: ModelProto(producer_name="nobody").SerializeToString(),
    ],
)
def test_what_is_no_onnx_is_refused(spoil: Callable[[bytes], bytes]) -> None:
    content = network(constant(value_float=1.0)).SerializeToString()
    check_network(content, "n.onnx")
    with pytest.raises(SparkdlError, match=r"n\.onnx is not an ONNX file"):
        check_network(spoil(content), "n.onnx")


@pytest.mark.parametrize("taps", [("block7", "block14"), ("head",)])
def test_the_networks_of_this_package_pass(taps: tuple[str, ...]) -> None:
    check_network(build_network(NetworkSpec("EfficientNetLite0", (96, 96), taps, "average")), "n.onnx")


def test_a_stage_with_such_a_network_is_not_loaded(spark: SparkSession, tmp_path: Path) -> None:
    stage = DeepImageFeaturizer(
        inputCol="image", outputCol="f", modelName="EfficientNetLite0", inputSize=32, tapLayers=["block2"]
    )
    PipelineModel([stage]).write().save(str(tmp_path / "pipeline"))
    (file,) = tmp_path.glob("pipeline/stages/*/network.onnx")
    (metadata,) = tmp_path.glob("pipeline/stages/*/metadata/part-*")
    for checksum in tmp_path.rglob("*.crc"):
        checksum.unlink()
    model = network()
    initializer(model)
    file.write_bytes(model.SerializeToString())
    stated = json.loads(metadata.read_text())
    stated["network"]["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    metadata.write_text(json.dumps(stated))
    with pytest.raises(SparkdlError, match=rf"{os.fspath(file)}: .* is in another file, '{SECRET}'"):
        PipelineModel.load(str(tmp_path / "pipeline"))
