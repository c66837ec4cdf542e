"""Heads: from the features of a network to the probabilities of the classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparkdl.networks.imported.activation import activate, normalized
from sparkdl.networks.imported.description import Activation


@dataclass(frozen=True)
class Head:
    """A linear classifier of K classes on D features; the probabilities are its softmax.

    Attributes
    ----------
    coefficients
        float64 [D, K].
    intercepts
        float64 [K].
    classes
        The names of the classes.
    """

    coefficients: NDArray[np.float64]
    intercepts: NDArray[np.float64]
    classes: tuple[str, ...]

    threshold: float | None = None
    """None: an image has one class."""

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the probabilities, float64 [N, K], of N images from their features [N, D]."""
        return softmax(features, self)


@dataclass(frozen=True)
class OutputHead:
    """The classifier that is a part of the network: its K features are a value a class.

    Attributes
    ----------
    activation
        What makes probabilities of them; `none` if they are probabilities.
    classes
        The names of the K classes.
    threshold
        The probability from which on an image has a class, if it can have several; else None.
    """

    activation: Activation
    classes: tuple[str, ...]
    threshold: float | None = None

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the probabilities, float64 [N, K], of N images from their features [N, K]."""
        if not len(features):
            return np.empty((0, len(self.classes)))
        return activate(features, self.activation)


def softmax(features: NDArray[np.float32], head: Head) -> NDArray[np.float64]:
    """Return the probabilities, float64 [N, K], of N images from their features [N, D]."""
    if not len(features):
        return np.empty((0, len(head.intercepts)))
    # Row by row, because the last digit of a matrix product depends on the number of rows.
    return normalized((features[:, np.newaxis].astype(np.float64) @ head.coefficients)[:, 0] + head.intercepts)
