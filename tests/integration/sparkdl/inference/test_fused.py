"""Promises of `sparkdl.inference.fusion`: a pipeline as one function gives what its stages give, one after the
other.
"""

from __future__ import annotations

import io
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from images import image_rows, noise
from PIL import Image
from pyspark.ml import PipelineModel
from pyspark.ml.classification import LogisticRegression, RandomForestClassifier
from pyspark.ml.feature import IndexToString
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from sparkdl import DeepImageFeaturizer, InkNormalizer, TemperatureScaling
from sparkdl.errors import SparkdlError
from sparkdl.images.rejection import Limits
from sparkdl.inference.classifier import DECODED, Classifier, FusedClassifier, PipelineClassifier, decode_rows
from sparkdl.inference.fusion import FusedModel, fuse
from sparkdl.inference.loading import load_fused
from sparkdl.inference.stages import describe, labels_of, prediction_column
from sparkdl.models.registry import ModelVersion
from sparkdl.system.file_uris import origin_of
from sparkdl.system.subprocesses import python_command, python_environment
from training.data.loading import Dataset

SHAPES = [(20, 30, 3), (31, 17, 1), (24, 24, 3), (9, 40, 1), (28, 28, 1), (60, 50, 3)]


def stages(classes: int, spark: SparkSession, ink: bool = True, **params: Any) -> list[Any]:
    """An ink crop, a network and a classifier of `classes` classes that has learnt noise."""
    first = [InkNormalizer(inputCol="image", outputCol="ink")] if ink else []
    featurizer = DeepImageFeaturizer(
        inputCol="ink" if ink else "image",
        outputCol="features",
        modelName="EfficientNetLite0",
        inputSize=32,
        pooling="average",
    )
    rows = PipelineModel([*first, featurizer]).transform(
        image_rows(spark, [noise(i, 24, 24, 3) for i in range(4 * classes)])
    )
    labelled = rows.withColumn("label", (F.col("id").cast("int") % classes).cast("double"))
    kind = params.pop("kind", LogisticRegression)
    return [*first, featurizer, kind(**params).fit(labelled)]


def fused(pipeline: PipelineModel) -> FusedModel | None:
    described = describe(pipeline)
    return None if described is None else fuse(described, labels_of(pipeline))


def encoded(spark: SparkSession, payloads: Sequence[bytes | None]) -> DataFrame:
    return spark.createDataFrame(
        [(i, "", payload) for i, payload in enumerate(payloads)], "id int, origin string, payload binary"
    )


def png(array: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array.squeeze()).save(file, "PNG")
    return file.getvalue()


def by_stages(frame: DataFrame, pipeline: PipelineModel) -> list[Any]:
    """`id, prediction, probabilities` of the images that decode, one stage after the other."""
    rows = pipeline.transform(decode_rows(frame, "image")).where(f"{DECODED}.reason is null")
    return rows.select("_input_record.id", "prediction", vector_to_array("probability")).orderBy("id").collect()


@pytest.mark.parametrize(("ink", "classes", "temperature"), [(True, 2, None), (False, 3, 0.4), (True, 3, 2.5)])
def test_it_gives_what_the_stages_give(spark: SparkSession, ink: bool, classes: int, temperature: float | None) -> None:
    made = stages(classes, spark, ink, maxIter=5, regParam=0.1)
    pipeline = PipelineModel(made if temperature is None else [*made, TemperatureScaling(temperature=temperature)])
    assert isinstance(Classifier.of(pipeline), FusedClassifier)
    frame = encoded(spark, [png(noise(i, *shape)) for i, shape in enumerate(SHAPES)])
    expected = by_stages(frame, pipeline)
    received = Classifier.of(pipeline).classify(frame).orderBy("id").collect()
    assert [row.prediction for row in received] == [str(int(row.prediction)) for row in expected]
    np.testing.assert_allclose(
        [list(row.probabilities.values()) for row in received], [row[2] for row in expected], rtol=1e-9
    )


def test_a_model_as_it_is_trained_is_fused(spark: SparkSession, model: ModelVersion, drawn: Dataset) -> None:
    classifier = model.load()
    assert isinstance(classifier, FusedClassifier)
    frame = encoded(spark, [image.read() for image in list(drawn)[::20]])
    received = classifier.classify(frame).orderBy("id").collect()
    expected = by_stages(frame, classifier.pipeline)
    np.testing.assert_allclose(
        [list(row.probabilities.values()) for row in received], [row[2] for row in expected], rtol=1e-9
    )
    assert [row.prediction for row in received] == [drawn.classes[int(row.prediction)] for row in expected]


@pytest.mark.parametrize(
    ("ink", "classes", "params", "temperature"),
    [
        (True, 2, {"regParam": 0.1}, None),
        (False, 3, {"regParam": 0.1}, 0.4),
        (True, 3, {"regParam": 0.02, "elasticNetParam": 1.0}, 2.5),
        (False, 2, {"regParam": 0.02, "elasticNetParam": 1.0}, None),
    ],
)
def test_a_saved_pipeline_is_read_as_spark_reads_it(
    spark: SparkSession, tmp_path: Path, ink: bool, classes: int, params: dict[str, Any], temperature: float | None
) -> None:
    made = stages(classes, spark, ink, maxIter=5, **params)
    names = tuple("αβγ"[:classes])
    scaling = [] if temperature is None else [TemperatureScaling(temperature=temperature)]
    labels = IndexToString(inputCol="prediction", outputCol="name", labels=list(names))
    PipelineModel([*made, *scaling, labels]).write().save(str(tmp_path / "saved"))
    expected = fused(PipelineModel.load(str(tmp_path / "saved")))
    received = load_fused(tmp_path / "saved")
    assert expected is not None
    assert received is not None
    np.testing.assert_array_equal(received.head.coefficients, expected.head.coefficients)
    np.testing.assert_array_equal(received.head.intercepts, expected.head.intercepts)
    assert np.ptp(received.head.coefficients) > 0
    assert received.head.classes == expected.head.classes == names
    assert received.ink_margin == expected.ink_margin
    assert received.featurizer.network == expected.featurizer.network
    assert received.featurizer.spec == expected.featurizer.spec
    frame = encoded(spark, [png(noise(i, *shape)) for i, shape in enumerate(SHAPES)])
    saved = Classifier.load(tmp_path / "saved")
    assert saved.classes == names
    loaded = Classifier.of(PipelineModel.load(str(tmp_path / "saved")))
    rows, again = (one.classify(frame).drop("scored_at").orderBy("id").collect() for one in (saved, loaded))
    assert rows == again


def test_a_saved_pipeline_of_other_stages_is_left_to_spark(spark: SparkSession, tmp_path: Path) -> None:
    ink, featurizer, head = stages(2, spark, maxIter=2)
    forest = stages(2, spark, kind=RandomForestClassifier, numTrees=2)[-1]
    for number, other in enumerate(([ink, featurizer, forest], [head], [ink], [featurizer, head, ink])):
        PipelineModel(other).write().save(str(tmp_path / str(number)))
        assert load_fused(tmp_path / str(number)) is None
    assert load_fused(tmp_path / "nothing") is None
    classifier = Classifier.load(tmp_path / "0")
    assert isinstance(classifier, PipelineClassifier)
    assert prediction_column(classifier.pipeline) == "prediction"


def test_a_fused_model_is_loaded_without_spark_ml_and_what_it_loads(model: ModelVersion) -> None:
    program = (
        "import sys\n"
        "from sparkdl.models.registry import resolve_model\n"
        "assert resolve_model(sys.argv[1]).load().reads_files\n"
        "print([name for name in ('pyspark.ml', 'pandas', 'scipy') if name in sys.modules])\n"
    )
    command = python_command("-c", program, str(model.path))
    done = subprocess.run(command, capture_output=True, text=True, env=python_environment())
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_saved_network_that_was_exchanged_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    PipelineModel(stages(2, spark, maxIter=2)).write().save(str(tmp_path / "saved"))
    (network,) = tmp_path.rglob("network.onnx")
    network.write_bytes(network.read_bytes()[:-1] + b"\0")
    with pytest.raises(SparkdlError, match=r"network\.onnx: expected SHA-256 \w+, received"):
        load_fused(tmp_path / "saved")


def test_images_that_are_refused_have_no_part_in_it(spark: SparkSession) -> None:
    pipeline = PipelineModel(stages(2, spark, maxIter=2))
    good = png(noise(1, 20, 30, 3))
    frame = encoded(spark, [b"", good, None, b"text", good, good[:-30]])
    rows = Classifier.of(pipeline).classify(frame, Limits()).orderBy("id").collect()
    assert [row.reason for row in rows] == ["empty", None, "empty", "unsupported_format", None, "truncated"]
    assert [row.probabilities is None for row in rows] == [True, False, True, True, False, True]
    assert rows[1].probabilities == rows[4].probabilities
    assert [
        row.reason for row in Classifier.of(pipeline).classify(encoded(spark, [b"", b"text"])).orderBy("id").collect()
    ] == [
        "empty",
        "unsupported_format",
    ]


def test_files_give_what_their_bytes_give(spark: SparkSession, tmp_path: Path) -> None:
    classifier = Classifier.of(PipelineModel(stages(2, spark, maxIter=2)))
    limits = Limits(max_bytes=4000)
    payloads = [png(noise(1, 20, 30, 3)), b"", b"text", png(noise(2, 20, 30, 3)), png(noise(3, 90, 90, 3)), None]
    paths = [tmp_path / f"{number} ü%20.png" for number in range(len(payloads))]
    for path, payload in zip(paths, payloads, strict=True):
        if payload is not None:
            path.write_bytes(payload)
    rows = [(i, origin_of(path), None, None) for i, path in enumerate(paths)]
    files = spark.createDataFrame(rows, "id int, origin string, payload binary, size bigint").coalesce(1)
    received = classifier.classify(files, limits, read_in_workers=True).orderBy("id").collect()
    expected = classifier.classify(encoded(spark, payloads), limits).orderBy("id").collect()
    for name in ("prediction", "reason", "detail"):
        assert [row[name] for row in received] == [row[name] for row in expected]
    for row, other in zip(received, expected, strict=True):
        assert row.probabilities == (other.probabilities and pytest.approx(other.probabilities))
    assert [row.reason for row in received] == [None, "empty", "unsupported_format", None, "too_many_bytes", "empty"]
    assert [row.payload for row in received] == [None, b"", b"text", None, payloads[4][:4001], None]  # type: ignore[index]
    assert [row["size"] for row in received] == [None if payload is None else len(payload) for payload in payloads]


def test_many_large_files_are_read_a_few_at_a_time(spark: SparkSession, tmp_path: Path) -> None:
    classifier = Classifier.of(PipelineModel(stages(2, spark, maxIter=2)))
    payload = png(noise(1, 600, 600, 3))  # a megabyte
    for number in range(5):
        (tmp_path / str(number)).write_bytes(payload)
    rows = [(i, origin_of(tmp_path / str(i)), None, None) for i in range(5)]
    files = spark.createDataFrame(rows, "id int, origin string, payload binary, size bigint").coalesce(1)
    received = classifier.classify(files, read_in_workers=True).collect()
    assert len({str(row.probabilities) for row in received}) == 1
    assert len(received) == 5


def test_no_picture_leaves_the_worker(spark: SparkSession) -> None:
    pipeline = PipelineModel(stages(2, spark, maxIter=2))
    frame = Classifier.of(pipeline).classify(encoded(spark, [png(noise(1, 9, 9, 3)), b"text"]))
    assert [row.payload for row in frame.orderBy("id").collect()] == [None, b"text"]
    plan = frame._jdf.queryExecution().executedPlan().toString()
    assert sum("MapInArrow" in line for line in plan.splitlines()) == 1
    assert "ArrowEvalPython" not in plan  # it keeps its rows, images and all, until it has an answer
    assert "nChannels" not in plan


def test_stages_of_another_kind_or_order_are_left_as_they_are(spark: SparkSession) -> None:
    ink, featurizer, head = stages(2, spark, maxIter=2)
    forest = stages(2, spark, kind=RandomForestClassifier, numTrees=2)[-1]
    biased = LogisticRegression(maxIter=2, threshold=0.7)
    strict = stages(2, spark, maxIter=2, threshold=0.7)[-1]
    assert biased.getThreshold() == strict.getThreshold()
    elsewhere = InkNormalizer(inputCol="image", outputCol="other")
    for other in (
        [],
        [ink],
        [ink, featurizer],
        [ink, featurizer, forest],
        [ink, featurizer, strict],
        [elsewhere, featurizer, head],
        [ink, ink, featurizer, head],
        [ink, featurizer, head, TemperatureScaling(probabilityCol="another")],
        [ink, featurizer, TemperatureScaling(), head],
    ):
        assert fused(PipelineModel(other)) is None
    assert fused(PipelineModel([ink, featurizer, head])) is not None
