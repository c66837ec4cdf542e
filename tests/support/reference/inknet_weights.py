"""Weights of a small InkNet, without any training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparkdl.networks.inknet import layer_shapes

WIDTHS = (4, 6, 8, 10)


def random_weights(path: Path, **changes: NDArray[np.float32] | None) -> Path:
    rng = np.random.default_rng(0)
    arrays = {}
    for name, shape in layer_shapes(WIDTHS, 12).items():
        arrays[f"{name}.kernel"] = rng.normal(0, 0.2, shape).astype(np.float32)
        arrays[f"{name}.bias"] = rng.normal(0, 0.2, shape[:1]).astype(np.float32)
    arrays |= changes  # type: ignore[arg-type]
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})  # type: ignore[arg-type]
    return path
