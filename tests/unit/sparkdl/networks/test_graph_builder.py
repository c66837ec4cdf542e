"""Promises of `sparkdl.networks.graph_builder`: a checked model of what was added and is needed."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from sparkdl.networks.graph_builder import GraphBuilder, byte_tensor, float_tensor


def test_a_model_computes_what_was_added() -> None:
    graph = GraphBuilder(prefix="c.", named=True)
    floats = graph.node("Cast", ["image"], "floats", to=onnx.TensorProto.FLOAT)
    graph.node("Mul", [floats, graph.constant("half", np.array(0.5, np.float32))], "features")
    model = graph.model("g", [byte_tensor("image", ["N", 2])], [float_tensor("features", ["N", 2])])
    assert [node.name for node in model.graph.node] == ["floats", "features"]
    assert [(tensor.name, list(tensor.dims)) for tensor in model.graph.initializer] == [("c.half", [])]
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    received = session.run(None, {"image": np.array([[2, 4], [6, 8]], np.uint8)})[0]
    np.testing.assert_array_equal(received, [[1, 2], [3, 4]])


def test_what_the_outputs_do_not_need_is_dropped() -> None:
    graph = GraphBuilder()
    graph.node("Add", ["x", graph.constant("one", np.ones(1, np.float32))], "kept")
    graph.node("Add", ["kept", graph.constant("two", np.ones(1, np.float32))], "beyond")
    graph.keep(["kept"])
    model = graph.model("g", [float_tensor("x", [1])], [float_tensor("kept", [1])])
    assert [node.output[0] for node in model.graph.node] == ["kept"]
    assert [tensor.name for tensor in model.graph.initializer] == ["one"]


def test_a_graph_that_is_not_sound_is_refused() -> None:
    graph = GraphBuilder()
    graph.node("Add", ["x", "nowhere"], "y")
    with pytest.raises(onnx.checker.ValidationError):
        graph.model("g", [float_tensor("x", [1])], [float_tensor("y", [1])])
