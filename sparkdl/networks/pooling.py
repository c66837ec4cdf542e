"""Pooling: a grid of means over a feature map, as a matrix."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sparkdl.errors import RequestError


def grid_of(pooling: str) -> int | None:
    """Return the cells per side of `pooling`: None for `none`, 1 for `average`, N for `NxN`."""
    if pooling == "none":
        return None
    if pooling == "average":
        return 1
    rows, _, columns = pooling.partition("x")
    if rows.isdecimal() and rows == columns and int(rows) > 0:
        return int(rows)
    raise RequestError(f"expected pooling 'none', 'average' or a square grid such as '3x3', received {pooling!r}")


def pooling_matrix(height: int, width: int, grid: int) -> NDArray[np.float32]:
    """Return float32 [grid * grid, height * width], whose row r computes the mean over cell r of an adaptive grid.

    Cell i of n over a side of s positions covers floor(i s / n) to ceil((i + 1) s / n), as in adaptive pooling.
    """

    def weights(size: int) -> NDArray[np.float32]:
        matrix = np.zeros((grid, size), np.float32)
        for cell in range(grid):
            start, stop = cell * size // grid, -(-(cell + 1) * size // grid)
            matrix[cell, start:stop] = 1 / (stop - start)
        return matrix

    return np.kron(weights(height), weights(width))
