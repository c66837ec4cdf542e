"""The figures of an evaluation against values worked out by hand, and a model measured on labelled images."""

from __future__ import annotations

import json
import math
import unicodedata
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from pyspark.ml import PipelineModel
from pyspark.sql import SparkSession
from refusals import refused

from sparkdl.inference.classifier import Classifier
from sparkdl.models.registry import ModelVersion
from training.data.loading import Dataset, LabelledImage, open_dataset
from training.evaluation.evaluate import Evaluation, Throughput, evaluate
from training.evaluation.metrics import AVERAGES

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
    "confusions",
)


def judged(classes: str, labels: str, predictions: str) -> Evaluation:
    """An evaluation of classes of one letter, with a confidence of 1 for every prediction."""
    probabilities = np.array([[float(name == said) for name in classes] for said in predictions])
    names = tuple(f"{i}.png" for i in range(len(labels)))
    return Evaluation(tuple(classes), names, tuple(labels), tuple(predictions), probabilities)


TINY = judged("abc", labels="aaaabbbc", predictions="aaabbbcc")
"""Class a: 3 of 4 images right, no false prediction; b: 2 of 3 and 1 false; c: 1 of 1 and 1 false."""


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
    shown = ("precision", "recall", "f1", "support")
    per_class = {name: [row[key] for key in shown] for name, row in TINY.metrics["per_class"].items()}
    assert per_class["a"] == pytest.approx([1, 3 / 4, 6 / 7, 4])
    assert per_class["b"] == pytest.approx([2 / 3, 2 / 3, 2 / 3, 3])
    assert per_class["c"] == pytest.approx([1 / 2, 1, 2 / 3, 1])


def test_the_recall_of_a_class_has_wilson_s_interval() -> None:
    recall = TINY.metrics["per_class"]["b"]["recall_interval"]
    assert recall == judged("ab", labels="aaa", predictions="aab").metrics["accuracy_interval"]


def test_weighted_means_count_images_and_macro_means_count_classes() -> None:
    m = TINY.metrics
    assert m["precision_macro"] == pytest.approx((1 + 2 / 3 + 1 / 2) / 3)
    assert m["recall_macro"] == pytest.approx((3 / 4 + 2 / 3 + 1) / 3)
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
    assert [row["roc_auc"] for row in known.metrics["per_class"].values()] == [1, 1 / 2, 1]


def test_there_is_no_auc_where_a_class_has_no_image() -> None:
    assert judged("abc", labels="aabb", predictions="aabb").metrics["roc_auc"] is None


@pytest.mark.filterwarnings("ignore:A single label was found")
def test_there_is_no_auc_of_a_single_class() -> None:
    assert judged("a", labels="aa", predictions="aa").metrics["roc_auc"] is None


def test_perfect_predictions_of_some_of_the_classes_have_perfect_figures() -> None:
    m = judged("abcdef", labels="aabb", predictions="aabb").metrics
    assert (m["accuracy"], m["f1_weighted"], m["f1_macro"]) == (1, 1, 1)
    absent = {"precision": 0, "recall": 0, "recall_interval": None, "f1": 0, "roc_auc": None, "support": 0}
    assert m["per_class"]["f"] == absent


def test_without_a_mistake_only_accuracy_and_recall_have_an_interval() -> None:
    m = judged("ab", labels="aabb", predictions="aabb").metrics
    assert m["f1_macro_interval"] is None
    assert m["precision_weighted_interval"] is None
    assert m["recall_weighted_interval"] == m["accuracy_interval"]
    assert m["accuracy_interval"][0] < 0.6


@pytest.mark.parametrize("name", [name for name in AVERAGES if name != "recall_weighted"])
def test_the_averages_have_intervals_around_them_that_are_the_same_each_time(name: str) -> None:
    again = replace(TINY).metrics
    low, high = TINY.metrics[f"{name}_interval"]
    assert 0 <= low <= TINY.metrics[name] <= high <= 1
    assert low < high
    assert again[f"{name}_interval"] == [low, high]


def test_mistakes_come_the_most_confident_first() -> None:
    probabilities = np.array([[0.6, 0.4], [0.9, 0.1], [0.3, 0.7], [0.8, 0.2]])
    evaluation = Evaluation(("a", "b"), ("1", "2", "3", "4"), tuple("bbba"), tuple("aaba"), probabilities)
    assert evaluation.mistakes == (1, 0)


def test_throughput_counts_every_image_that_was_read() -> None:
    measured = replace(TINY, throughput=Throughput(images=10, seconds=4.0, parallelism=2))
    expected = {"images": 10, "seconds": 4.0, "images_per_second": 2.5, "parallelism": 2}
    assert measured.metrics["throughput"] == expected
    assert TINY.metrics["throughput"] is None


def test_coverage_and_error_rate_of_the_auto_accepted_predictions() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.4, 0.6]])
    measured = Evaluation(("a", "b"), tuple("1234"), tuple("abab"), tuple("aaab"), probabilities, review_below=0.7)
    review = measured.metrics["review"]
    assert (review["threshold"], review["coverage"], review["error"]) == (0.7, 3 / 4, 1 / 3)
    assert review["coverage_interval"][0] < 3 / 4 < review["coverage_interval"][1]
    assert review["error_interval"][0] < 1 / 3 < review["error_interval"][1]
    nothing = replace(measured, review_below=0.95).metrics["review"]
    assert (nothing["coverage"], nothing["error"], nothing["error_interval"]) == (0, None, None)
    assert TINY.metrics["review"] is None


def test_a_class_that_was_only_predicted_counts_in_the_macro_mean() -> None:
    assert judged("abc", labels="aabb", predictions="aabc").metrics["f1_macro"] == pytest.approx((1 + 2 / 3 + 0) / 3)


def test_the_metrics_are_json_and_keep_the_keys_that_others_read() -> None:
    assert set(CONTRACT) <= set(TINY.metrics)
    text = json.dumps(TINY.metrics, allow_nan=False)
    assert json.loads(text) == TINY.metrics


def test_a_confidence_is_the_probability_of_the_prediction() -> None:
    evaluation = replace(TINY, probabilities=np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]))
    assert evaluation.confidences.tolist() == [0.5, 0.7]


def test_the_rows_of_an_evaluation_are_its_images(spark: SparkSession) -> None:
    probabilities = np.array([[0.6, 0.3, 0.1], [0.25, 0.25, 0.5]])
    evaluation = Evaluation(("x", "y", "z"), ("1.png", "2.png"), ("x", "y"), ("x", "z"), probabilities)
    rows = evaluation.rows(spark)
    assert dict(rows.dtypes) == {
        "id": "string",
        "label": "string",
        "prediction": "string",
        "confidence": "double",
        "probabilities": "map<string,double>",
    }
    assert [row.asDict() for row in rows.orderBy("id").collect()] == [
        {
            "id": "1.png",
            "label": "x",
            "prediction": "x",
            "confidence": 0.6,
            "probabilities": {"x": 0.6, "y": 0.3, "z": 0.1},
        },
        {
            "id": "2.png",
            "label": "y",
            "prediction": "z",
            "confidence": 0.5,
            "probabilities": {"x": 0.25, "y": 0.25, "z": 0.5},
        },
    ]


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
    assert evaluation.throughput is not None
    assert evaluation.throughput.images == 12
    assert evaluation.throughput.parallelism == 2
    assert evaluation.throughput.seconds > 0
    np.testing.assert_allclose(evaluation.probabilities.sum(axis=1), 1)
    best = [evaluation.classes[k] for k in evaluation.probabilities.argmax(axis=1)]
    assert evaluation.predictions == tuple(best)


def test_a_pipeline_that_does_not_name_its_classes_is_measured_by_their_indices(
    spark: SparkSession, classifier: Classifier
) -> None:
    nameless = Classifier.of(PipelineModel(classifier.pipeline.stages[:-1]))
    assert nameless.classes is None
    images = Dataset("here", open_dataset("samples:2", seed=9).images)
    named, indexed = evaluate(spark, classifier, images), evaluate(spark, nameless, images)
    assert indexed.classes == tuple("0123456789")
    assert indexed.names == named.names
    np.testing.assert_array_equal(indexed.probabilities, named.probabilities)


def test_a_class_that_the_model_does_not_know_is_refused_by_name(spark: SparkSession, classifier: Classifier) -> None:
    strange = [LabelledImage(f"{label}.png", label, payload=b"") for label in ("cat", "7", "dog")]
    with refused("here", "0, 1, 2, 3, 4, 5, 6, 7, 8, 9", "not cat, dog"):
        evaluate(spark, classifier, Dataset("here", tuple(strange)))


def test_labels_and_classes_are_compared_however_their_letters_are_composed(
    spark: SparkSession, classifier: Classifier
) -> None:
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    pipeline = PipelineModel(classifier.pipeline.stages[:-1])
    old = Classifier.of(pipeline, (*"012345678", decomposed))
    (image,) = [image for image in open_dataset("samples:1", seed=9) if image.label == "9"]
    evaluation = evaluate(spark, old, Dataset("here", (replace(image, label=composed),)))
    assert evaluation.labels == (decomposed,)
    assert sum(map(sum, evaluation.metrics["confusion_matrix"])) == 1


def test_images_of_which_none_can_be_decoded_are_refused(spark: SparkSession, classifier: Classifier) -> None:
    with refused("here: none of 2 images", "0/1.png: empty"):
        evaluate(
            spark, classifier, Dataset("here", tuple(LabelledImage(f"0/{i}.png", "0", payload=b"") for i in (1, 2)))
        )


def test_a_model_trained_on_synthetic_digits_classifies_real_ones(
    spark: SparkSession, classifier: Classifier, numtadb_home: Path
) -> None:
    evaluation = evaluate(spark, classifier, open_dataset(str(numtadb_home / "numtadb")))
    assert evaluation.metrics["n"] == 41
    assert evaluation.metrics["accuracy"] > 0.75  # one in ten would be chance
