"""Small ONNX networks of images whose output is their input, so that a test sees what they are given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from onnx import TensorProto, checker, helper, save

Sides = Sequence[int | str | None]


def identity_network(path: Path, shape: Sides, *, kind: int = TensorProto.FLOAT, opset: int = 18) -> Path:
    """Write a network from `x`, a batch of images, to `y`, which is the same as float."""
    taken = helper.make_tensor_value_info("x", kind, shape)
    given = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
    nodes = [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)]
    model = helper.make_model(
        helper.make_graph(nodes, "identity", [taken], [given]),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=8,
    )
    checker.check_model(model)
    save(model, str(path))
    return path


def table_network(path: Path) -> Path:
    """Write a network from `x`, float [N, 3], and `y`, int64 [N], to `sum`, [N, 3], `best`, int64 [N], and `outer`,
    [N, 3, 3].
    """
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3]),
        helper.make_tensor_value_info("y", TensorProto.INT64, ["N"]),
    ]
    outputs = [
        helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["N", 3]),
        helper.make_tensor_value_info("best", TensorProto.INT64, ["N"]),
        helper.make_tensor_value_info("outer", TensorProto.FLOAT, ["N", 3, 3]),
    ]
    last = helper.make_tensor("last", TensorProto.INT64, [1], [-1])
    middle = helper.make_tensor("middle", TensorProto.INT64, [1], [1])
    nodes = [
        helper.make_node("Cast", ["y"], ["yf"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["yf", "last"], ["column"]),
        helper.make_node("Add", ["x", "column"], ["sum"]),
        helper.make_node("ArgMax", ["x"], ["best"], axis=1, keepdims=0),
        helper.make_node("Unsqueeze", ["x", "last"], ["rows"]),
        helper.make_node("Unsqueeze", ["x", "middle"], ["columns"]),
        helper.make_node("MatMul", ["rows", "columns"], ["outer"]),
    ]
    graph = helper.make_graph(nodes, "table", inputs, outputs, [last, middle])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    checker.check_model(model)
    save(model, str(path))
    return path
