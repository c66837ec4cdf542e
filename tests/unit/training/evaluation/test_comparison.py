"""Two models on the same images: who is right where, and whether it can be chance."""

from __future__ import annotations

import json

import numpy as np
import pytest
from refusals import refused

from training.evaluation.comparison import Comparison, compare
from training.evaluation.evaluate import Evaluation
from training.evaluation.intervals import paired_difference, wilson


def judged(labels: str, predictions: str, confidences: list[float] | None = None, first: int = 0) -> Evaluation:
    """An evaluation of classes a, b and c, of images named by numbers from `first`."""
    sure = confidences or [0.9] * len(labels)
    classes = ("a", "b", "c")
    probabilities = np.array(
        [[c if name == said else (1 - c) / 2 for name in classes] for said, c in zip(predictions, sure, strict=True)]
    )
    names = tuple(f"{first + i}.png" for i in range(len(labels)))
    return Evaluation(classes, names, tuple(labels), tuple(predictions), probabilities)


@pytest.fixture
def ten() -> Comparison:
    """Of ten images of class a both are right on 4, one alone on 3 and 1, neither on 2, once with different words."""
    return compare("one", judged("a" * 10, "aaaaaaabbb"), "two", judged("a" * 10, "aaaabbbabc"))


def test_the_table_counts_who_is_right_where(ten: Comparison) -> None:
    figures = ten.figures
    keys = ("both_right", "only_model_right", "only_against_right", "both_wrong")
    assert [figures[key] for key in keys] == [4, 3, 1, 2]
    assert figures["n"] == 10
    assert figures["left_out"] == 0
    assert figures["different_predictions"] == 5


def test_both_accuracies_have_wilson_s_interval_and_the_difference_tango_s(ten: Comparison) -> None:
    figures = ten.figures
    assert figures["model"] == {"name": "one", "accuracy": 0.7, "accuracy_interval": wilson(7, 10)}
    assert figures["against"] == {"name": "two", "accuracy": 0.5, "accuracy_interval": wilson(5, 10)}
    assert figures["difference"] == pytest.approx(0.2)
    assert figures["difference_interval"] == paired_difference(3, 1, 10)


def test_the_p_value_is_of_the_images_that_one_alone_has_right(ten: Comparison) -> None:
    assert ten.figures["p_value"] == pytest.approx(2 * (1 + 4) / 2**4)


def test_the_figures_are_json(ten: Comparison) -> None:
    assert json.loads(json.dumps(ten.figures, allow_nan=False)) == ten.figures


def test_a_model_does_not_differ_from_itself() -> None:
    same = judged("abc", "abb")
    figures = compare("one", same, "one", same).figures
    assert (figures["difference"], figures["p_value"], figures["different_predictions"]) == (0, 1, 0)
    low, high = figures["difference_interval"]
    assert low < 0 < high


def test_images_are_paired_by_name_and_those_of_one_alone_are_left_out() -> None:
    figures = compare("one", judged("aaaa", "aabb"), "two", judged("aaaa", "bbaa", first=2)).figures
    assert (figures["n"], figures["left_out"]) == (2, 4)
    assert (figures["both_wrong"], figures["only_model_right"]) == (2, 0)


def test_what_one_alone_has_right_comes_by_its_confidence() -> None:
    first = judged("aaaa", "aabb", [0.5, 0.8, 0.6, 0.9])
    second = judged("aaaa", "bbaa", [0.7, 0.9, 0.5, 0.6])
    comparison = compare("one", first, "two", second)
    assert comparison.only_first == ((1, 1), (0, 0))
    assert comparison.only_second == ((3, 3), (2, 2))
    assert comparison.differing == ((1, 1), (0, 0), (3, 3), (2, 2))


def test_models_without_a_common_image_are_refused() -> None:
    with refused("one and two have no image in common"):
        compare("one", judged("a", "a"), "two", judged("a", "a", first=5))
