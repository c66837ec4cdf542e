"""Small ONNX networks, good and hostile."""

from __future__ import annotations

from onnx import ModelProto, NodeProto, TensorProto, helper

SECRET = "/etc/passwd"


def elsewhere(name: str = "w", path: str = SECRET) -> TensorProto:
    """A tensor of 4 numbers that lie in another file."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=path)
    return tensor


def network(*nodes: NodeProto) -> ModelProto:
    """`image` plus the tensor `w`, which `nodes` give."""
    image, features = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None]) for name in ("image", "features"))
    added = helper.make_node("Add", ["image", "w"], ["features"])
    return helper.make_model(helper.make_graph([*nodes, added], "g", [image], [features]), ir_version=8)


def initializer(model: ModelProto) -> None:
    model.graph.initializer.append(elsewhere())
