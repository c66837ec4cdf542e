"""GraphBuilder: collects the nodes and constants of an ONNX graph and creates a model from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx

OPSET = 18
_IR_VERSION = 10
_PRODUCER = "sparkdl"

Dimension = int | str | None
"""A size, the name of a free dimension, or None for an unknown one."""


class GraphBuilder:
    """Collects nodes and constants; every method that adds one returns the name of its output tensor.

    Parameters
    ----------
    prefix
        Prefix of the names of constants, so that they differ from those of a graph that is joined to this one.
    named
        Whether a node gets the name of its output; otherwise it has no name.
    """

    def __init__(self, *, prefix: str = "", named: bool = False) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._prefix = prefix
        self._named = named

    def constant(self, name: str, value: Any) -> str:
        """Add a constant: an array of a type that ONNX supports."""
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.asarray(value, order="C"), f"{self._prefix}{name}"))
        return f"{self._prefix}{name}"

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node of the ONNX operator `kind`, with one output."""
        from onnx import helper

        name = {"name": output} if self._named else {}
        self.nodes.append(helper.make_node(kind, inputs, [output], **name, **attributes))
        return output

    def keep(self, outputs: Iterable[str]) -> None:
        """Remove the nodes and constants that `outputs` do not depend on."""
        needed, kept = set(outputs), []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                kept.append(node)
                needed.update(node.input)
        self.nodes = kept[::-1]
        self.constants = [constant for constant in self.constants if constant.name in needed]

    def model(
        self,
        name: str,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
        *,
        base: onnx.ModelProto | None = None,
    ) -> onnx.ModelProto:
        """Return a checked model of all nodes and constants.

        Parameters
        ----------
        name
            The graph's name.
        inputs, outputs
            Descriptions from `float_tensor` and `byte_tensor`.
        base
            A model whose versions and functions to use. Default: opset 18 and no functions.
        """
        import onnx
        from onnx import helper

        model = helper.make_model(
            helper.make_graph(self.nodes, name, inputs, outputs, self.constants),
            opset_imports=[helper.make_opsetid("", OPSET)] if base is None else list(base.opset_import),
            ir_version=_IR_VERSION if base is None else base.ir_version,
            producer_name=_PRODUCER,
            functions=[] if base is None else list(base.functions),
        )
        onnx.checker.check_model(model)
        return model


def float_tensor(name: str, shape: Sequence[Dimension]) -> onnx.ValueInfoProto:
    """Return the description of a float32 input or output of this shape."""
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def byte_tensor(name: str, shape: Sequence[Dimension]) -> onnx.ValueInfoProto:
    """Return the description of a uint8 input or output of this shape."""
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, TensorProto.UINT8, shape)
