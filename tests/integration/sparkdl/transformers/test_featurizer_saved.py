"""Promises of a saved DeepImageFeaturizer: it needs nothing but its own directory, and gives the same to the bit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from images import features_of, image_rows, noise
from pyspark.ml import PipelineModel
from pyspark.ml.classification import LogisticRegression
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from sparkdl import DeepImageFeaturizer
from sparkdl.errors import RequestError, SparkdlError
from sparkdl.networks.backbones import backbone
from sparkdl.networks.weights import find_weights


class Saved(NamedTuple):
    """A pipeline and where it was saved; the weights and the cached network that it was built from are gone."""

    fitted: PipelineModel
    path: Path
    cache: Path
    frame: DataFrame


@pytest.fixture(scope="module")
def saved(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    home = tmp_path_factory.mktemp("saved")
    packaged = find_weights(backbone("EfficientNetLite0"), None)
    assert packaged is not None
    weights = home / "weights.pth"
    shutil.copy(packaged, weights)
    frame = image_rows(spark, [noise(seed, 40, 40, 3) // (1 + seed % 2) for seed in range(8)]).cache()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARKDL_CACHE_DIR", str(home / "first cache"))
        featurizer = DeepImageFeaturizer(
            inputCol="image",
            outputCol="features",
            modelName="EfficientNetLite0",
            scaleHint="SCALE_SMOOTH",
            inputSize=[32, 48],
            tapLayers=["block4", "block2"],
            pooling="2x2",
            weights=str(weights),
        )
        labelled = featurizer.transform(frame).withColumn("label", F.col("id").cast("double") % 2)
        fitted = PipelineModel([featurizer, LogisticRegression(maxIter=3).fit(labelled)])
        fitted.write().save(f"{home}/pipeline")
        # Computed while there still is something to compute from.
        frame = fitted.transform(frame).cache()
        frame.count()
    weights.unlink()
    shutil.rmtree(home / "first cache")
    (home / "second cache").mkdir()
    return Saved(fitted, home / "pipeline", home / "second cache", frame)


@pytest.fixture
def no_cache(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPARKDL_CACHE_DIR", str(saved.cache))
    return saved.cache


def load(path: Path) -> DeepImageFeaturizer:
    (stage, *_) = PipelineModel.load(str(path)).stages
    assert isinstance(stage, DeepImageFeaturizer)
    return stage


def test_a_loaded_pipeline_gives_the_same_bits_without_weights_or_cache(saved: Saved, no_cache: Path) -> None:
    again = PipelineModel.load(str(saved.path)).transform(saved.frame.select("id", "image"))

    columns = ("id", "features", "probability", "prediction")
    assert again.select(*columns).orderBy("id").collect() == saved.frame.select(*columns).orderBy("id").collect()
    assert list(no_cache.iterdir()) == []


def test_a_loaded_stage_has_the_params_and_the_name_of_the_saved_one(saved: Saved) -> None:
    stage, original = load(saved.path), saved.fitted.stages[0]
    assert stage.uid == original.uid
    assert stage.network_spec() == original.network_spec()
    assert stage.getScaleHint() == "SCALE_SMOOTH"
    assert stage.extractParamMap().keys() == original.extractParamMap().keys()


def test_a_loaded_pipeline_can_be_saved_again(saved: Saved, no_cache: Path, tmp_path: Path) -> None:
    PipelineModel.load(str(saved.path)).write().save(f"{tmp_path}/again")
    frame = saved.frame.select("id", "image")
    np.testing.assert_array_equal(features_of(load(tmp_path / "again"), frame), features_of(load(saved.path), frame))


def test_a_loaded_stage_whose_network_was_changed_builds_anew(saved: Saved, no_cache: Path) -> None:
    stage, frame = load(saved.path), saved.frame.select("id", "image")
    with pytest.raises(RequestError, match="no such file of weights for EfficientNetLite0"):
        stage.copy({stage.pooling: "average"}).network()

    stage.setWeights(str(find_weights(backbone("EfficientNetLite0"), None))).setPooling("average")

    assert features_of(stage, frame).shape == (8, 40 + 24)
    assert len(list(no_cache.rglob("*.onnx"))) == 1
    shutil.rmtree(no_cache / "networks")


def test_a_loaded_stage_whose_scaling_was_changed_keeps_its_network(saved: Saved, no_cache: Path) -> None:
    stage, frame = load(saved.path), saved.frame.select("id", "image")
    before = features_of(stage, frame)
    after = features_of(stage.setScaleHint("SCALE_FAST"), frame)
    assert after.shape == before.shape
    assert not np.array_equal(after, before)


def test_a_stage_saves_by_itself_too(spark: SparkSession, saved: Saved, no_cache: Path, tmp_path: Path) -> None:
    load(saved.path).save(f"{tmp_path}/stage")
    assert DeepImageFeaturizer.load(f"{tmp_path}/stage").getInputSize() == [32, 48]


def copy_of(saved: Saved, tmp_path: Path) -> tuple[Path, Path]:
    """A copy of the saved pipeline and the network's file in it, without Hadoop's checksums."""
    shutil.copytree(saved.path, tmp_path / "copy", ignore=shutil.ignore_patterns("*.crc"))
    (network,) = (tmp_path / "copy").rglob("network.onnx")
    return tmp_path / "copy", network


def test_a_changed_network_file_is_refused_by_its_digest(saved: Saved, tmp_path: Path) -> None:
    copy, network = copy_of(saved, tmp_path)
    content = bytearray(network.read_bytes())
    content[len(content) // 2] ^= 1
    network.write_bytes(content)
    with pytest.raises(SparkdlError, match=r"network\.onnx: expected SHA-256 [0-9a-f]{64}, received [0-9a-f]{64}$"):
        PipelineModel.load(str(copy))


def test_a_file_that_fails_hadoops_checksum_is_refused_in_one_line(saved: Saved, tmp_path: Path) -> None:
    shutil.copytree(saved.path, tmp_path / "copy")
    (network,) = (tmp_path / "copy").rglob("network.onnx")
    network.write_bytes(bytes(network.stat().st_size))
    with pytest.raises(SparkdlError, match=r"network\.onnx cannot be read: .+") as raised:
        PipelineModel.load(str(tmp_path / "copy"))
    assert "\n" not in str(raised.value)


def test_a_network_file_that_is_missing_is_named_in_one_line(saved: Saved, tmp_path: Path) -> None:
    copy, network = copy_of(saved, tmp_path)
    network.unlink()
    with pytest.raises(SparkdlError, match=r"network\.onnx cannot be read: .*PATH_NOT_FOUND") as raised:
        PipelineModel.load(str(copy))
    assert "\n" not in str(raised.value)
