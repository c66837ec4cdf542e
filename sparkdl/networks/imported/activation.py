"""Activations: from the output of a network to probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sparkdl.networks.imported.description import Activation


def activate(values: NDArray[np.float32], activation: Activation) -> NDArray[np.float64]:
    """Return the probabilities, float64 [N, K], of a network's output [N, K]."""
    numbers = values.astype(np.float64)
    if activation == "softmax":
        return normalized(numbers)
    if activation == "sigmoid":
        powers = np.exp(-np.abs(numbers))  # at most 1, however large the number
        return np.asarray(np.where(numbers >= 0, 1.0, powers) / (1 + powers))
    return numbers


def normalized(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the softmax of each row of [N, K]."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
