"""The figures of an evaluation against values worked out by hand, and a model measured on labelled images."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from pyspark.sql import SparkSession
from refusals import refused

from sparkdl.predictor import Classifier
from training.datasets import Dataset, LabelledImage, open_dataset
from training.evaluate import Evaluation, evaluate
from training.registry import ModelVersion

CONTRACT = (
    "n",
    "accuracy",
    "accuracy_interval",
    "precision_weighted",
    "recall_weighted",
    "f1_weighted",
    "f1_macro",
    "roc_auc",
    "per_class",
    "confusion_matrix",
)


def judged(classes: str, labels: str, predictions: str) -> Evaluation:
    """An evaluation of classes of one letter, sure of every prediction."""
    sure = np.array([[float(name == said) for name in classes] for said in predictions])
    names = tuple(f"{i}.png" for i in range(len(labels)))
    return Evaluation(tuple(classes), names, tuple(labels), tuple(predictions), sure)


TINY = judged("abc", labels="aaaabbbc", predictions="aaabbbcc")
"""Of class a 3 of 4 found and none said wrongly; of b 2 of 3 and 1 wrongly; of c the one there is and 1 wrongly."""


def test_accuracy_is_the_share_of_right_predictions() -> None:
    assert TINY.metrics["n"] == 8
    assert TINY.metrics["accuracy"] == 6 / 8


@pytest.mark.parametrize("correct", [0, 1, 6, 8])
def test_the_interval_is_wilson_s(correct: int) -> None:
    n, p, z = 8, correct / 8, NormalDist().inv_cdf(0.975)
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    measured = judged("ab", labels="a" * n, predictions="a" * correct + "b" * (n - correct))
    assert measured.metrics["accuracy_interval"] == pytest.approx([middle - reach, middle + reach], abs=1e-12)


def test_precision_recall_and_f1_of_each_class() -> None:
    per_class = TINY.metrics["per_class"]
    assert per_class["a"] == pytest.approx({"precision": 1, "recall": 3 / 4, "f1": 6 / 7, "support": 4})
    assert per_class["b"] == pytest.approx({"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "support": 3})
    assert per_class["c"] == pytest.approx({"precision": 1 / 2, "recall": 1, "f1": 2 / 3, "support": 1})


def test_weighted_means_count_images_and_the_macro_mean_counts_classes() -> None:
    m = TINY.metrics
    assert m["precision_weighted"] == pytest.approx((4 * 1 + 3 * 2 / 3 + 1 * 1 / 2) / 8)
    assert m["recall_weighted"] == pytest.approx((4 * 3 / 4 + 3 * 2 / 3 + 1 * 1) / 8)
    assert m["f1_weighted"] == pytest.approx((4 * 6 / 7 + 3 * 2 / 3 + 1 * 2 / 3) / 8)
    assert m["f1_macro"] == pytest.approx((6 / 7 + 2 / 3 + 2 / 3) / 3)


def test_the_confusion_matrix_has_a_row_a_true_class_and_a_column_a_predicted_one() -> None:
    assert TINY.metrics["confusion_matrix"] == [[3, 1, 0], [0, 2, 1], [0, 0, 1]]


def test_rows_columns_and_classes_share_the_order_of_the_model() -> None:
    turned = judged("cba", labels="aaaabbbc", predictions="aaabbbcc").metrics
    assert turned["classes"] == list(turned["per_class"]) == ["c", "b", "a"]
    assert turned["confusion_matrix"] == [[1, 0, 0], [1, 2, 0], [0, 1, 3]]


def test_auc_is_the_share_of_pairs_in_the_right_order() -> None:
    # Of the 2 x 2 pairs of a positive and a negative, 0.35 against 0.4 alone is in the wrong order.
    score = np.array([0.1, 0.4, 0.35, 0.8])
    known = Evaluation(
        ("no", "yes"),
        ("1", "2", "3", "4"),
        ("no", "no", "yes", "yes"),
        ("no", "no", "no", "yes"),
        np.stack([1 - score, score], axis=1),
    )
    assert known.metrics["roc_auc"] == pytest.approx(3 / 4)


def test_auc_is_the_mean_over_classes_of_one_against_the_rest() -> None:
    # Class a is ranked perfectly; of b, 1 of 2 pairs is right; of c, all.
    probabilities = np.array([[0.8, 0.1, 0.1], [0.3, 0.4, 0.3], [0.1, 0.5, 0.4]])
    known = Evaluation(("a", "b", "c"), ("1", "2", "3"), ("a", "b", "c"), ("a", "b", "b"), probabilities)
    assert known.metrics["roc_auc"] == pytest.approx((1 + 1 / 2 + 1) / 3)


def test_there_is_no_auc_where_a_class_has_no_image() -> None:
    assert judged("abc", labels="aabb", predictions="aabb").metrics["roc_auc"] is None


@pytest.mark.filterwarnings("ignore:A single label was found")
def test_there_is_no_auc_of_a_single_class() -> None:
    assert judged("a", labels="aa", predictions="aa").metrics["roc_auc"] is None


def test_perfect_predictions_of_some_of_the_classes_have_perfect_figures() -> None:
    m = judged("abcdef", labels="aabb", predictions="aabb").metrics
    assert (m["accuracy"], m["f1_weighted"], m["f1_macro"]) == (1, 1, 1)
    assert m["per_class"]["f"] == {"precision": 0, "recall": 0, "f1": 0, "support": 0}


def test_a_class_that_was_only_predicted_counts_in_the_macro_mean() -> None:
    assert judged("abc", labels="aabb", predictions="aabc").metrics["f1_macro"] == pytest.approx((1 + 2 / 3 + 0) / 3)


def test_the_metrics_are_json_and_keep_the_keys_that_others_read() -> None:
    assert set(CONTRACT) <= set(TINY.metrics)
    text = json.dumps(TINY.metrics, allow_nan=False)
    assert json.loads(text) == TINY.metrics


def test_a_confidence_is_the_probability_of_the_prediction() -> None:
    evaluation = replace(TINY, probabilities=np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]))
    assert evaluation.confidences.tolist() == [0.5, 0.7]


@pytest.fixture(scope="module")
def classifier(spark: SparkSession, model: ModelVersion) -> Classifier:
    return model.load()


def test_every_image_is_either_measured_or_named_with_what_is_wrong(
    spark: SparkSession, classifier: Classifier
) -> None:
    good = open_dataset("samples:1", seed=9).images
    bad = (LabelledImage("7/empty.png", "7", payload=b""), LabelledImage("3/cut.png", "3", payload=good[3].read()[:60]))
    evaluation = evaluate(spark, classifier, Dataset("here", (*good, *bad)))
    assert evaluation.classes == tuple("0123456789")
    assert set(zip(evaluation.names, evaluation.labels, strict=True)) == {(image.name, image.label) for image in good}
    assert [(image.name, image.reason) for image in evaluation.unreadable] == [
        ("3/cut.png", "truncated"),
        ("7/empty.png", "empty"),
    ]
    assert evaluation.metrics["n"] == 10
    assert evaluation.metrics["unreadable"] == 2
    np.testing.assert_allclose(evaluation.probabilities.sum(axis=1), 1)
    best = [evaluation.classes[k] for k in evaluation.probabilities.argmax(axis=1)]
    assert evaluation.predictions == tuple(best)


def test_a_class_that_the_model_does_not_know_is_refused_by_name(spark: SparkSession, classifier: Classifier) -> None:
    strange = [LabelledImage(f"{label}.png", label, payload=b"") for label in ("cat", "7", "dog")]
    with refused("here", "0, 1, 2, 3, 4, 5, 6, 7, 8, 9", "not cat, dog"):
        evaluate(spark, classifier, Dataset("here", tuple(strange)))


def test_images_of_which_none_can_be_decoded_are_refused(spark: SparkSession, classifier: Classifier) -> None:
    with refused("here: none of 2 images", "0/1.png: empty"):
        evaluate(
            spark, classifier, Dataset("here", tuple(LabelledImage(f"0/{i}.png", "0", payload=b"") for i in (1, 2)))
        )


def test_what_was_learnt_from_drawn_digits_carries_over_to_real_ones(
    spark: SparkSession, classifier: Classifier, numtadb_home: Path
) -> None:
    evaluation = evaluate(spark, classifier, open_dataset(str(numtadb_home / "numtadb")))
    assert evaluation.metrics["n"] == 41
    assert evaluation.metrics["accuracy"] > 0.75  # one in ten would be chance
