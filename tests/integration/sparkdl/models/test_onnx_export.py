"""Promises of `sparkdl.models.export`: the stream's probabilities, with ONNX Runtime, Pillow and the file alone."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from command import run_command
from foreign_networks import LABELS, classifier
from numpy.typing import NDArray
from paths import ROOT
from PIL import Image
from pyspark.ml import Pipeline
from pyspark.ml.classification import RandomForestClassifier
from pyspark.sql import SparkSession
from refusals import refused

from sparkdl import DeepImageFeaturizer
from sparkdl.images.ink import normalize_ink
from sparkdl.images.pixels import to_gray
from sparkdl.models.export import export_onnx
from sparkdl.models.importing import prepare_import, save_import
from sparkdl.models.registry import ModelVersion, Registry
from sparkdl.networks.framing import Framing
from sparkdl.networks.imported.description import NORMALIZATIONS, Described
from sparkdl.networks.imported.sources import Foreign, read_source
from training.data.loading import Dataset, open_dataset
from training.fitting.fit import fit_pipeline
from training.fitting.recipes import recipe
from training.train import train

TOLERANCE = 1e-5


def ready(image: Image.Image, stated: dict[str, Any]) -> NDArray[np.uint8]:
    """An image as an exported file wants it, by its metadata and Pillow; of handwriting, after the ink crop."""
    height, width = stated["input_size"]
    if stated["channels"] == "GRAY":
        gray = to_gray(np.asarray(image.convert("RGB"))[:, :, ::-1])
        image = Image.fromarray(normalize_ink(gray, stated["ink_margin"]))
    else:
        image = image.convert("RGB")
    resize = stated["resize_to"]
    if isinstance(resize, int):
        resize = [int(resize * side / min(image.size)) for side in image.size[::-1]]
    rows, columns = resize or (height, width)
    image = image.resize((columns, rows), Image.Resampling[stated["resample"]])
    top, left = (rows - height) // 2, (columns - width) // 2
    return np.asarray(image.crop((left, top, left + width, top + height))).reshape(height, width, -1)


def check(spark: SparkSession, version: ModelVersion, content: bytes, files: list[bytes]) -> None:
    """The file's probabilities are those of a stream."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    labels, stated = json.loads(metadata["sparkdl.labels"]), json.loads(metadata["sparkdl.preprocessing"])
    batch = np.stack([ready(Image.open(io.BytesIO(file)), stated) for file in files])
    (found,) = session.run(["probabilities"], {"image": batch})
    frame = spark.createDataFrame([("", bytearray(file)) for file in files], "origin string, payload binary")
    rows = version.load().classify(frame.coalesce(1)).collect()
    expected = [[row.probabilities[label] for label in labels] for row in rows]
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)
    assert metadata["sparkdl.model"] == version.name


def photos() -> list[bytes]:
    files = []
    for row, size in enumerate([(60, 40), (33, 90), (64, 64)]):
        file = io.BytesIO()
        picture = np.random.default_rng(row).integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(picture).save(file, "PNG")
        files.append(file.getvalue())
    return files


def test_a_trained_model_for_handwriting_is_one_file(spark: SparkSession, model: ModelVersion, drawn: Dataset) -> None:
    content = export_onnx(model)
    check(spark, model, content, [image.read() for image in drawn.images[::50]])
    assert not onnx.ModelProto.FromString(content).functions


def test_a_trained_model_for_photos_is_one_file(spark: SparkSession, tmp_path: Path) -> None:
    dataset = open_dataset("samples:5")
    chosen = recipe("photos", ["input_size=32", "calibrate=false", "max_iter=5"])
    version = train(spark, dataset, chosen, Registry(tmp_path / "models")).version
    check(spark, version, export_onnx(version), [image.read() for image in dataset.images[::10]] + photos())


@pytest.mark.parametrize(("last", "framing"), [("", None), ("Softmax", Framing(48)), ("Sigmoid", Framing((40, 44)))])
def test_an_imported_model_is_one_file_that_can_be_imported_again(
    last: str, framing: Framing | None, spark: SparkSession, tmp_path: Path
) -> None:
    path = tmp_path / "given.onnx"
    onnx.save(classifier(last=last), path)
    stated = Described(labels=LABELS, normalization=NORMALIZATIONS["imagenet"][0], framing=framing)
    registry = Registry(tmp_path / "models")
    version = save_import(spark, prepare_import(read_source(str(path), stated)), registry)
    out = tmp_path / "out" / "model.onnx"
    finished = run_command("models", "export", "current", "--to", "onnx", out, "--models", registry.path)
    assert finished.code == 0, finished.err
    check(spark, version, out.read_bytes(), photos())
    again = save_import(spark, prepare_import(read_source(str(out), Described())), registry, name="again")
    frame = spark.createDataFrame([("", bytearray(file)) for file in photos()], "origin string, payload binary")
    first, second = (one.load().classify(frame.coalesce(1)).collect() for one in (version, again))
    for row, other in zip(first, second, strict=True):
        assert row.labels == other.labels
        np.testing.assert_allclose(list(row.probabilities.values()), list(other.probabilities.values()), atol=TOLERANCE)


def test_the_program_of_the_guide_predicts_what_a_stream_predicts(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "how-to" / "import-models.md").read_text()
    program = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert program is not None
    foreign = Foreign(
        "x.onnx",
        "ONNX file",
        classifier().SerializeToString(),
        Described(labels=LABELS, normalization=NORMALIZATIONS["imagenet"][0]),
    )
    version = save_import(spark, prepare_import(foreign), Registry(tmp_path / "models"))
    (tmp_path / "model.onnx").write_bytes(export_onnx(version))
    photo = tmp_path / "incoming" / "a.jpg"
    photo.parent.mkdir()
    Image.open(io.BytesIO(photos()[0])).save(photo, quality=95)
    monkeypatch.chdir(tmp_path)
    exec(program[1], {})
    rows = spark.createDataFrame([("", bytearray(photo.read_bytes()))], "origin string, payload binary")
    (row,) = version.load().classify(rows).collect()
    assert capsys.readouterr().out.strip() == row.prediction


def test_a_pipeline_of_other_stages_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    featurizer = DeepImageFeaturizer(
        inputCol="image", outputCol="features", modelName="EfficientNetLite0", inputSize=32, pooling="average"
    )
    forest = RandomForestClassifier(numTrees=2, maxDepth=2)
    fitted = fit_pipeline(spark, open_dataset("samples:2"), Pipeline(stages=[featurizer, forest]))
    version = Registry(tmp_path).save(fitted.classifier, "forest", {"recipe": {"name": "x"}}, lambda _: None)
    with refused("forest", "cannot be written as ONNX"):
        export_onnx(version)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("--to", "onx", "x.onnx"), "did you mean onnx"), (("--to", "onnx", "."), "is a directory")],
)
def test_a_wrong_export_is_answered_in_one_line(arguments: tuple[str, ...], said: str, model: ModelVersion) -> None:
    finished = run_command("models", "export", "current", *arguments, "--models", model.path.parent)
    assert (finished.code, finished.err.count("\n")) == (2, 1)
    assert said in finished.err
