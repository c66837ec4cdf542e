"""Adaptive average pooling once more, as PyTorch defines it: what the product's pooling is held against."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def adaptive_mean(positions: NDArray[Any], grid: int) -> NDArray[Any]:
    """[grid, grid, C]: the means of [H, W, C] over a grid whose cells overlap where it does not divide the sides."""
    height, width, channels = positions.shape
    pooled = np.empty((grid, grid, channels))
    for row in range(grid):
        for column in range(grid):
            rows = slice(math.floor(row * height / grid), math.ceil((row + 1) * height / grid))
            columns = slice(math.floor(column * width / grid), math.ceil((column + 1) * width / grid))
            pooled[row, column] = positions[rows, columns].mean(axis=(0, 1))
    return pooled
