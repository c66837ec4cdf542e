"""Compares two models on the same images, with an interval and a test of the difference."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sparkdl.errors import RequestError
from training.evaluation.evaluate import Evaluation
from training.evaluation.intervals import mcnemar, paired_difference, wilson


@dataclass(frozen=True)
class Comparison:
    """Two evaluations of the same images.

    Attributes
    ----------
    model, against
        The names of the two models.
    first, second
        Their evaluations, in this order.
    pairs
        For each image that both classified, its index in `first` and in `second`.
    """

    model: str
    against: str
    first: Evaluation
    second: Evaluation
    pairs: tuple[tuple[int, int], ...]

    @cached_property
    def only_first(self) -> tuple[tuple[int, int], ...]:
        """The pairs that only the first model predicts correctly, its most confident predictions first."""
        right = [(i, j) for i, j in self.pairs if self._right(i, j) == (True, False)]
        return tuple(sorted(right, key=lambda pair: -self.first.confidences[pair[0]]))

    @cached_property
    def only_second(self) -> tuple[tuple[int, int], ...]:
        """The pairs that only the second model predicts correctly, its most confident predictions first."""
        right = [(i, j) for i, j in self.pairs if self._right(i, j) == (False, True)]
        return tuple(sorted(right, key=lambda pair: -self.second.confidences[pair[1]]))

    @cached_property
    def both_wrong(self) -> tuple[tuple[int, int], ...]:
        """The pairs that neither model predicts correctly."""
        return tuple((i, j) for i, j in self.pairs if self._right(i, j) == (False, False))

    @cached_property
    def neither(self) -> tuple[tuple[int, int], ...]:
        """The pairs with different predictions, both wrong."""
        first, second = self.first.predictions, self.second.predictions
        return tuple((i, j) for i, j in self.both_wrong if first[i] != second[j])

    @property
    def differing(self) -> tuple[tuple[int, int], ...]:
        """The pairs with different predictions."""
        return (*self.only_first, *self.only_second, *self.neither)

    def _right(self, i: int, j: int) -> tuple[bool, bool]:
        label = self.first.labels[i]
        return self.first.predictions[i] == label, self.second.predictions[j] == label

    @cached_property
    def figures(self) -> dict[str, Any]:
        """The metrics that are written to `comparison.json`.

        `n` counts the images that both models could classify, `left_out` those that only one could. `difference` is
        the accuracy of `model` minus that of `against`, with Tango's interval at 95%. `p_value` is two-sided, from
        McNemar's exact test.
        """
        n, first, second = len(self.pairs), len(self.only_first), len(self.only_second)
        both = n - first - second - len(self.both_wrong)
        return {
            "n": n,
            "left_out": len({*self.first.names, *self.second.names}) - n,
            "model": _accuracy(self.model, both + first, n),
            "against": _accuracy(self.against, both + second, n),
            "difference": (first - second) / n,
            "difference_interval": paired_difference(first, second, n),
            "both_right": both,
            "only_model_right": first,
            "only_against_right": second,
            "both_wrong": len(self.both_wrong),
            "different_predictions": len(self.differing),
            "p_value": mcnemar(first, second),
        }


def _accuracy(name: str, right: int, n: int) -> dict[str, Any]:
    return {"name": name, "accuracy": right / n, "accuracy_interval": wilson(right, n)}


def compare(model: str, first: Evaluation, against: str, second: Evaluation) -> Comparison:
    """Pair two evaluations of one dataset by the names of the images.

    Raises
    ------
    RequestError
        If they have no image in common.
    """
    index = {name: j for j, name in enumerate(second.names)}
    pairs = tuple((i, index[name]) for i, name in enumerate(first.names) if name in index)
    if not pairs:
        raise RequestError(f"{model} and {against} have no image in common that both can classify")
    return Comparison(model, against, first, second, pairs)
