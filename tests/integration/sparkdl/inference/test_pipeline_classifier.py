"""Promises of `sparkdl.inference.classifier`: each encoded row becomes a prediction or a reason, in one pass."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from images import Pixels, noise
from PIL import Image
from pyspark.ml import PipelineModel
from pyspark.ml.classification import LinearSVC, LogisticRegression
from pyspark.ml.feature import IndexToString, SQLTransformer, VectorAssembler
from pyspark.sql import DataFrame, SparkSession

from sparkdl.errors import RequestError
from sparkdl.images.rejection import Limits
from sparkdl.inference.classifier import Classifier
from sparkdl.inference.stages import image_column, prediction_column, probability_column
from sparkdl.models.registry import ModelVersion
from training.data.loading import Dataset


def png(array: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def encoded_rows(spark: SparkSession, payloads: Sequence[bytes | None]) -> DataFrame:
    rows = [(row, f"file:/{row}", payload) for row, payload in enumerate(payloads)]
    return spark.createDataFrame(rows, "id int, origin string, payload binary")


def answers(frame: DataFrame, *columns: str) -> list[Any]:
    return [tuple(row) for row in frame.orderBy("id").select(*columns).collect()]


# --- a trained model -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def classifier(spark: SparkSession, model: ModelVersion) -> Classifier:
    return model.load()


BAD = {
    "empty": b"",
    "unsupported_format": b"some text",
    "truncated": png(noise(1, 40, 40, 3))[:-30],
    "too_many_pixels": png(np.zeros((600, 600), np.uint8)),
}


def test_a_bad_row_becomes_a_reason_and_the_good_rows_do_not_notice(
    spark: SparkSession, classifier: Classifier, drawn: Dataset
) -> None:
    good = [image.read() for image in list(drawn)[::50]]
    mixed = [payload for pair in zip(good, [*BAD.values(), None, None, None, None], strict=True) for payload in pair]
    limits = Limits(max_pixels=300_000)
    columns = ("prediction", "confidence", "probabilities", "reason", "detail")

    alone = answers(classifier.classify(encoded_rows(spark, good), limits), *columns)
    together = answers(classifier.classify(encoded_rows(spark, mixed), limits), *columns)

    assert together[::2] == alone
    assert all(answer[3:] == (None, None) for answer in alone)
    assert [answer[3] for answer in together[1::2]] == [*BAD, "empty", "empty", "empty", "empty"]
    assert all(answer[:3] == (None, None, None) and answer[4] for answer in together[1::2])


def test_each_image_is_decoded_once(spark: SparkSession, bare: PipelineModel) -> None:
    frame = Classifier.of(bare).classify(encoded_rows(spark, [png(noise(1, 9, 9, 3))]))
    frame.collect()
    plan = frame._jdf.queryExecution().executedPlan().toString()
    assert sum(line.count("decoded(") for line in plan.splitlines() if "ArrowEvalPython" in line) == 1


def test_probabilities_name_every_class_and_sum_to_one(
    spark: SparkSession, classifier: Classifier, drawn: Dataset
) -> None:
    rows = classifier.classify(encoded_rows(spark, [image.read() for image in list(drawn)[::40]])).collect()
    for row in rows:
        assert list(row.probabilities) == list(drawn.classes) == list(classifier.classes or ())
        assert sum(row.probabilities.values()) == pytest.approx(1)
        assert row.confidence == max(row.probabilities.values()) == row.probabilities[row.prediction]


def test_the_columns_of_the_encoded_rows_stay(spark: SparkSession, classifier: Classifier) -> None:
    added = ["prediction", "confidence", "probabilities", "labels", "reason", "detail", "scored_at", "batch_id"]
    assert classifier.classify(encoded_rows(spark, [b""])).columns == ["id", "origin", "payload", *added]


# --- pipelines of other stages -------------------------------------------------------------------------------------

SIZES = ((20, 10), (20, 90), (20, 11), (20, 88))


def by_width(spark: SparkSession, estimator: Any) -> PipelineModel:
    """A pipeline that puts narrow images into class 0 and wide ones into class 1, and fails on a height of 13 px."""
    look = SQLTransformer(
        statement="SELECT *, CAST(image.width AS DOUBLE) AS width, "
        "IF(image.height = 13, DOUBLE('NaN'), 0.0D) AS broken FROM __THIS__"
    )
    assemble = VectorAssembler(inputCols=["width", "broken"], outputCol="features", handleInvalid="keep")
    rows = [(float(width), 0.0, float(width > 50)) for _, width in SIZES]
    training = assemble.transform(spark.createDataFrame(rows, "width double, broken double, label double"))
    return PipelineModel([look, assemble, estimator.fit(training)])


def pictures(*shapes: tuple[int, int]) -> list[bytes]:
    return [png(noise(1, *shape, 3)) for shape in shapes]


@pytest.fixture(scope="module")
def bare(spark: SparkSession) -> PipelineModel:
    return by_width(spark, LogisticRegression(regParam=0.01))


def test_classes_without_names_are_named_by_their_index(spark: SparkSession, bare: PipelineModel) -> None:
    classifier = Classifier.of(bare)
    assert classifier.classes is None
    first, second = classifier.classify(encoded_rows(spark, pictures(*SIZES[:2]))).orderBy("id").collect()
    assert (first.prediction, second.prediction) == ("0", "1")
    assert list(first.probabilities) == ["0", "1"]


def test_a_pipeline_that_names_its_classes_is_asked_for_them(spark: SparkSession, bare: PipelineModel) -> None:
    names = IndexToString(inputCol="prediction", outputCol="name", labels=["narrow", "wide"])
    classifier = Classifier.of(PipelineModel([*bare.stages, names]))
    assert classifier.classes == ("narrow", "wide")
    frame = classifier.classify(encoded_rows(spark, pictures(*SIZES)))
    assert answers(frame, "prediction") == [("narrow",), ("wide",), ("narrow",), ("wide",)]


def test_columns_may_have_any_name(spark: SparkSession) -> None:
    estimator = LogisticRegression(probabilityCol="how_sure", predictionCol="which")
    classifier = Classifier.of(by_width(spark, estimator))
    pipeline = classifier.pipeline
    assert (image_column(pipeline), probability_column(pipeline), prediction_column(pipeline)) == (
        "image",
        "how_sure",
        "which",
    )
    assert answers(classifier.classify(encoded_rows(spark, pictures(*SIZES[:2]))), "prediction") == [("0",), ("1",)]


def test_an_image_that_the_model_fails_on_is_a_model_error(spark: SparkSession, bare: PipelineModel) -> None:
    frame = Classifier.of(bare).classify(encoded_rows(spark, pictures((20, 10), (13, 10), (20, 90))))
    columns = ("prediction", "reason", "detail")
    assert answers(frame, *columns) == [
        ("0", None, None),
        (None, "model_error", "the model gave no probabilities for this image"),
        ("1", None, None),
    ]
    assert answers(frame, "confidence", "probabilities")[1] == (None, None)


def test_an_image_without_a_probability_vector_is_a_model_error(spark: SparkSession, bare: PipelineModel) -> None:
    lose = SQLTransformer(
        statement="SELECT * EXCEPT (probability), IF(image.height = 13, NULL, probability) AS probability FROM __THIS__"
    )
    pipeline = PipelineModel([*bare.stages, lose])
    frame = Classifier.of(pipeline).classify(encoded_rows(spark, pictures((20, 10), (13, 10))))
    assert answers(frame, "prediction", "reason") == [("0", None), (None, "model_error")]


@pytest.mark.parametrize(
    ("kind", "params"), [(LinearSVC, {}), (LogisticRegression, {"probabilityCol": ""})], ids=["SVC", "LR"]
)
def test_a_pipeline_without_probabilities_is_refused_in_one_line(
    spark: SparkSession, kind: Any, params: dict[str, str]
) -> None:
    classifier = Classifier.of(by_width(spark, kind(**params)))
    with pytest.raises(RequestError) as raised:
        classifier.classify(encoded_rows(spark, [b""]))
    assert str(raised.value) == (
        "expected a pipeline with a classifier that gives probabilities, "
        f"received stages SQLTransformer, VectorAssembler, {kind.__name__}Model"
    )


def test_a_pipeline_without_stages_is_refused_in_one_line(spark: SparkSession) -> None:
    with pytest.raises(RequestError, match=r"^expected a pipeline with a classifier that gives probabilities"):
        Classifier.of(PipelineModel([])).classify(encoded_rows(spark, [b""]))


def test_a_pipeline_of_any_stages_does_not_read_files(spark: SparkSession, bare: PipelineModel) -> None:
    classifier = Classifier.of(bare)
    assert not classifier.reads_files
    with pytest.raises(RequestError, match=r"^expected a pipeline that can be fused to read files in workers"):
        classifier.classify(encoded_rows(spark, [b""]), read_in_workers=True)
