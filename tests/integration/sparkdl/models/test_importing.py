"""Promises of `sparkdl.models.importing`: a classifier from outside streams with its own framework's probabilities."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from foreign_networks import LABELS, backbone, classifier, write_folder
from numpy.typing import NDArray
from onnx import TensorProto
from PIL import Image
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from refusals import refused

from sparkdl import DeepImageFeaturizer
from sparkdl.inference.classifier import FusedClassifier, PipelineClassifier
from sparkdl.models.importing import prepare_import, save_backbone, save_import
from sparkdl.models.registry import ModelVersion, Registry
from sparkdl.networks.framing import Framing
from sparkdl.networks.imported.description import NORMALIZATIONS, Described
from sparkdl.networks.imported.sources import Foreign, read_source
from sparkdl.system.cache import DATA_VARIABLE
from training.data.loading import Dataset
from training.fitting.recipes import recipe
from training.train import train

IMAGENET = NORMALIZATIONS["imagenet"][0]
STATED = Described(labels=LABELS, normalization=IMAGENET)
SHAPES = ((40, 50), (33, 90), (32, 32), (20, 21))


def pictures() -> list[NDArray[np.uint8]]:
    random = np.random.default_rng(5)
    return [random.integers(0, 256, (*shape, 3), np.uint8) // (1 + row) for row, shape in enumerate(SHAPES)]


def encoded(spark: SparkSession) -> DataFrame:
    rows = []
    for picture in pictures():
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PNG")
        rows.append(("", bytearray(file.getvalue())))
    rows.append(("", bytearray(b"no image")))
    return spark.createDataFrame(rows, "origin string, payload binary").coalesce(1)


def by_hand(model: onnx.ModelProto, *, side: int = 32, layout: str = "NCHW") -> NDArray[np.float64]:
    """What a loop with Pillow and ONNX Runtime gets of the pictures: float64 [N, K]."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs = []
    for picture in pictures():
        resized = np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BILINEAR))
        pixels = (resized / 255 - np.array(IMAGENET.mean)) / np.array(IMAGENET.std)
        batch = pixels[np.newaxis].astype(np.float32)
        batch = batch.transpose(0, 3, 1, 2) if layout == "NCHW" else batch
        outputs.append(session.run(None, {"pixel_values": batch})[0][0].astype(np.float64))
    return np.array(outputs)


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def foreign(tmp_path: Path, model: onnx.ModelProto, stated: Described = STATED) -> Foreign:
    path = tmp_path / "a model.onnx"
    onnx.save(model, path)
    return read_source(str(path), stated)


def imported(
    spark: SparkSession, tmp_path: Path, model: onnx.ModelProto, stated: Described = STATED, **settings: Any
) -> ModelVersion:
    prepared = prepare_import(foreign(tmp_path, model, stated), **settings)
    return save_import(spark, prepared, Registry(tmp_path / "models"))


def shares(rows: list[Any]) -> NDArray[np.float64]:
    return np.array([[row.probabilities[label] for label in LABELS] for row in rows])


VARIANTS: dict[str, tuple[onnx.ModelProto, str]] = {
    "logits": (classifier(), "NCHW"),
    "softmax in the graph": (classifier(last="Softmax"), "NCHW"),
    "channels last": (classifier(layout="NHWC"), "NHWC"),
    "one image at a time": (classifier(batch=1), "NCHW"),
    "old operators": (classifier(opset=9), "NCHW"),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_stream_gets_the_probabilities_of_a_loop_by_hand(name: str, spark: SparkSession, tmp_path: Path) -> None:
    model, layout = VARIANTS[name]
    version = imported(spark, tmp_path, model)
    rows = version.load().classify(encoded(spark)).collect()
    expected = by_hand(model, layout=layout)
    expected = expected if "softmax" in name else softmax(expected)
    np.testing.assert_allclose(shares(rows[:-1]), expected, atol=1e-5)
    assert [row.prediction for row in rows[:-1]] == [LABELS[best] for best in expected.argmax(axis=1)]
    assert [row.labels for row in rows] == [None] * len(rows)
    assert rows[-1].reason == "unsupported_format"


def test_a_version_is_fused_without_spark_and_promoted(spark: SparkSession, tmp_path: Path) -> None:
    version = imported(spark, tmp_path, classifier())
    assert Registry(tmp_path / "models").current() == version
    assert version.name.endswith("-a-model")
    assert isinstance(version.load_without_spark(), FusedClassifier)
    assert version.description["imported"]["source"] == "a model.onnx"
    assert version.description["classes"] == list(LABELS)


def test_stages_one_by_one_give_what_the_fused_pass_gives(spark: SparkSession, tmp_path: Path) -> None:
    version = imported(spark, tmp_path, classifier(), Described(framing=Framing(40)).over(STATED))
    loaded = PipelineModel.load(version.pipeline.resolve().as_uri())
    fused = version.load().classify(encoded(spark)).collect()
    staged = PipelineClassifier(loaded, LABELS).classify(encoded(spark)).collect()
    np.testing.assert_allclose(shares(staged[:-1]), shares(fused[:-1]), atol=1e-12)
    assert [row.prediction for row in staged] == [row.prediction for row in fused]


def test_of_many_classes_the_most_probable_are_kept(spark: SparkSession, tmp_path: Path) -> None:
    version = imported(spark, tmp_path, classifier())
    everything = version.load().classify(encoded(spark)).collect()
    for one in (version.load(), PipelineClassifier(version.load().pipeline, LABELS)):
        few = one.classify(encoded(spark), top_k=2).withColumn("names", F.map_keys("probabilities"))
        for row, whole in zip(few.collect(), everything, strict=True):
            if whole.probabilities is None:
                assert row.probabilities is None
                continue
            expected = sorted(whole.probabilities.items(), key=lambda entry: -entry[1])[:2]
            assert row.probabilities == dict(expected)
            assert row.names == [name for name, _ in expected]  # the order of a dict is not that of Spark's map
            assert (row.prediction, row.confidence) == (whole.prediction, whole.confidence)


def test_a_sigmoid_gives_the_labels_above_a_threshold(spark: SparkSession, tmp_path: Path) -> None:
    model = classifier(last="Sigmoid")
    rows = imported(spark, tmp_path, model, threshold=0.4).load().classify(encoded(spark)).collect()
    expected = by_hand(model)
    np.testing.assert_allclose(shares(rows[:-1]), expected, atol=1e-6)
    for row, values in zip(rows[:-1], expected, strict=True):
        assert row.labels == [label for label, value in zip(LABELS, values, strict=True) if value >= 0.4]
        assert row.prediction == LABELS[int(values.argmax())]
    assert any(len(row.labels) > 1 for row in rows[:-1])
    assert rows[-1].labels is None


def test_logits_of_several_labels_become_probabilities_of_their_own(spark: SparkSession, tmp_path: Path) -> None:
    stated = Described(multi_label=True).over(STATED)
    version = imported(spark, tmp_path, classifier(), stated)
    rows = version.load().classify(encoded(spark)).collect()
    np.testing.assert_allclose(shares(rows[:-1]), 1 / (1 + np.exp(-by_hand(classifier()))), atol=1e-6)
    assert version.description["imported"]["label_threshold"] == 0.5


def test_one_output_is_the_probability_of_the_second_of_two_classes(spark: SparkSession, tmp_path: Path) -> None:
    model = classifier(classes=1, last="Sigmoid")
    version = imported(spark, tmp_path, model, Described(labels=("no", "yes")).over(STATED))
    rows = version.load().classify(encoded(spark)).collect()[:-1]
    np.testing.assert_allclose([row.probabilities["yes"] for row in rows], by_hand(model)[:, 0], atol=1e-6)
    np.testing.assert_allclose([sum(row.probabilities.values()) for row in rows], 1, atol=1e-6)


def test_gray_and_half_precision_networks_are_taken(spark: SparkSession, tmp_path: Path) -> None:
    gray = Described(normalization=NORMALIZATIONS["unit"][0]).over(STATED)
    version = imported(spark, tmp_path, classifier(channels=1), gray)
    assert version.load().model.featurizer.input_shape == (32, 32, 1)
    half = imported(spark, tmp_path, classifier(kind=TensorProto.FLOAT16))
    rows = half.load().classify(encoded(spark)).collect()[:-1]
    np.testing.assert_allclose(shares(rows), softmax(by_hand(classifier())), atol=5e-3)


def test_eight_bit_integers_are_close_and_say_so(spark: SparkSession, tmp_path: Path) -> None:
    random = np.random.default_rng(8)
    images = [random.integers(0, 256, (40, 40, 3), np.uint8) for _ in range(24)]
    prepared = prepare_import(foreign(tmp_path, classifier()))
    version = save_import(spark, prepared, Registry(tmp_path / "models"), calibration=images)
    assert version.description["imported"]["precision"] == "int8"
    content = version.load_without_spark().model.featurizer.network
    assert "QuantizeLinear" in {node.op_type for node in onnx.ModelProto.FromString(content).graph.node}
    rows = version.load().classify(encoded(spark)).collect()[:-1]
    np.testing.assert_allclose(shares(rows), softmax(by_hand(classifier())), atol=0.1)


def test_a_folder_of_hugging_faces_states_everything(spark: SparkSession, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "vit-small", classifier(), {"problem_type": "multi_label_classification"})
    prepared = prepare_import(read_source(str(folder), Described()))
    assert prepared.labels == LABELS
    assert (prepared.settings.activation, prepared.settings.threshold) == ("sigmoid", 0.5)
    assert save_import(spark, prepared, Registry(tmp_path / "models")).name.endswith("-vit-small")


def test_a_folder_whose_network_leaves_all_sizes_free_states_them(tmp_path: Path) -> None:
    model = classifier()
    for dimension, name in zip(model.graph.input[0].type.tensor_type.shape.dim, "nchw", strict=True):
        dimension.dim_param = name
    prepared = prepare_import(read_source(str(write_folder(tmp_path / "vit", model)), Described()))
    assert prepared.settings.input_shape == (32, 32, 3)


def test_flags_count_more_than_files(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "vit", classifier())
    stated = Described(labels=("1", "2", "3", "4", "5"), framing=Framing(64), normalization=IMAGENET)
    prepared = prepare_import(read_source(str(folder), stated))
    assert (prepared.labels, prepared.settings.framing) == (("1", "2", "3", "4", "5"), Framing(64))
    assert prepared.description()["imported"]["normalization"]["mean"] == list(IMAGENET.mean)


@pytest.mark.parametrize(
    ("model", "stated", "said"),
    [
        (classifier(), Described(labels=LABELS), "--normalize"),
        (classifier(), Described(normalization=IMAGENET), "--labels FILE"),
        (classifier(), Described(labels=LABELS[:4]).over(STATED), "5 values, and there are 4 labels"),
        (classifier(), Described(input_size=(64, 64)).over(STATED), "32 pixels, not 64"),
        (classifier(size=0), STATED, "--input-size"),
        (classifier(), Described(activation="none").over(STATED), "is not probabilities"),
        (classifier(channels=3, size=3), STATED, "--layout"),
        (backbone(), STATED, "--backbone NAME"),
    ],
)
def test_what_is_missing_is_named_with_its_flag(
    model: onnx.ModelProto, stated: Described, said: str, tmp_path: Path
) -> None:
    with refused("a model.onnx", said):
        prepare_import(foreign(tmp_path, model, stated))


def test_a_network_without_a_head_becomes_a_backbone_of_recipes(
    spark: SparkSession, drawn: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "data"))
    save_backbone(foreign(tmp_path, backbone(), Described(normalization=IMAGENET)), "tiny")
    chosen = recipe("photos", ["model_name=tiny", "pooling=3x3", "calibrate=false", "max_iter=30"])
    assert (chosen.input_size, chosen.tap_layers) == (32, ("output",))
    trained = train(spark, drawn, chosen, Registry(tmp_path / "models"))
    assert trained.evaluation.metrics["accuracy"] > 0.3
    assert trained.version.load_without_spark() is not None
    features = DeepImageFeaturizer(inputCol="image", outputCol="features", modelName="tiny", pooling="average")
    image = Image.fromarray(pictures()[2])
    image.save(tmp_path / "one.png")
    from sparkdl import read_images

    (row,) = features.transform(read_images(spark, str(tmp_path / "one.png"))).collect()
    session = onnxruntime.InferenceSession(backbone().SerializeToString(), providers=["CPUExecutionProvider"])
    pixels = ((np.asarray(image) / 255 - IMAGENET.mean) / IMAGENET.std).astype(np.float32)
    expected = session.run(None, {"pixel_values": pixels.transpose(2, 0, 1)[np.newaxis]})[0].mean(axis=(2, 3))[0]
    np.testing.assert_allclose(row.features.toArray(), expected, atol=1e-4)
    # A trained model has its network: it needs the backbone no more, not even its name.
    for path in (tmp_path / "data" / "backbones").iterdir():
        path.unlink()
    assert trained.version.load_without_spark() is not None
    assert PipelineModel.load(trained.version.pipeline.resolve().as_uri()).stages[0].getModelName() == "tiny"
    with refused("tiny", "import it"):
        features.transform(read_images(spark, str(tmp_path / "one.png")))


def test_a_backbone_needs_a_name_of_its_own(tmp_path: Path) -> None:
    source = foreign(tmp_path, backbone(), Described(normalization=IMAGENET))
    with refused("VGG16"):
        save_backbone(source, "VGG16")
    with refused("../x"):
        save_backbone(source, "../x")


def test_a_thousand_classes_are_described_in_one_file(spark: SparkSession, tmp_path: Path) -> None:
    labels = tuple(f"class {number}" for number in range(1000))
    version = imported(spark, tmp_path, classifier(classes=1000), Described(labels=labels).over(STATED))
    rows = version.load().classify(encoded(spark), top_k=10).collect()
    assert {len(row.probabilities) for row in rows[:-1]} == {10}
    assert len(json.dumps(dict(rows[0].probabilities))) < 500
