"""How far an ONNX graph is from the network that it came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray


def run(model: onnx.ModelProto, pixels: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Every output of the graph by its name, from ONNX Runtime on the CPU."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"pixels": pixels}), strict=True))


def largest_relative_difference(received: Mapping[str, Any], expected: Mapping[str, Any]) -> float:
    """max |a - b| / max |b|, the worst of all outputs; shapes and names must be the same."""
    assert set(received) == set(expected)
    worst = 0.0
    for name, output in received.items():
        reference = np.asarray(expected[name])
        assert output.shape == reference.shape
        worst = max(worst, float(np.abs(output - reference).max() / np.abs(reference).max()))
    return worst
